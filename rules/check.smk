# What is there before a run.


rule check:
    """Says what is there, what is missing, and what the run will cost in passes, time and disk space; makes nothing."""

    # no benchmark: Snakemake takes it for output, and would check only once
    log:
        f"{LOGS}/check.log",
    localrule: True
    params:
        run=RUN,
        config=CONFIG.dump(),
        code=code_digest("check/check.py"),
    script:
        "../workflow_scripts/check/check.py"
