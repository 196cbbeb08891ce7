# What the results were made from, and whether they still follow from it.


rule provenance:
    """Joins the records of all jobs behind the tables and figures: versions, checksums, wall times."""
    input:
        results=rules.report.input.tables + rules.report.input.figures + rules.report.output,
    output:
        joined=f"{RESULTS}/provenance.json",
    log:
        f"{LOGS}/paper/provenance.log",
    benchmark:
        f"{BENCHMARKS}/paper/provenance.tsv"
    localrule: True
    resources:
        **LIGHT_JOB,
    params:
        run=RUN,
        code=code_digest("provenance/join_provenance.py"),
    script:
        "../workflow_scripts/provenance/join_provenance.py"


rule verify:
    """Verifies that the tables in results/ follow from the files beside them; makes nothing."""

    # no benchmark: Snakemake takes it for output, and would verify only once
    log:
        f"{LOGS}/paper/verify.log",
    localrule: True
    params:
        results=RESULTS,
        code=code_digest("provenance/verify.py"),
    script:
        "../workflow_scripts/provenance/verify.py"
