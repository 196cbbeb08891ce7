# Tables.
rule table1:
    input:
        localisation=[f"{SCORES}/{variant}/seed{seed}/localisation.csv" for variant, seed in REPEATS],
        fidelity=[f"{SCORES}/{variant}/seed{seed}/fidelity.csv" for variant, seed in REPEATS],
        location_prior=f"{SCORES}/location_prior/localisation.csv",
        counts=[f"{RUN}/data/cxr/{table}_counts.csv" for table in ("images", "grounding", "prompts")],
    output:
        csv="results/table1.csv",
        markdown="results/table1.md",
        latex="results/table1.tex",
        sidecar="results/table1.json",
    log:
        f"{LOGS}/paper/table1.log",
    benchmark:
        f"{BENCHMARKS}/paper/table1.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        data=DATA_NAME,
        title=f"Table 1. Fidelity against localisation. {DATA_NOTE}",
        repeats=REPEATS,
        extractors=EXTRACTORS,
        config=CONFIG.dump(),
        code=code_digest("table1.py"),
    script:
        "../workflow_scripts/table1.py"


rule sheets:
    input:
        images=f"{RUN}/data/cxr/images.csv",
        grounding=f"{RUN}/data/cxr/grounding.csv",
        samples=[f"{RUN}/sampling/cxr/{v}/seed{CONFIG.seeds_of(v)[0]}/samples.csv" for v in CONFIG.variants],
    output:
        findings="results/sheet_findings.png",
        samples="results/sheet_samples.png",
    log:
        f"{LOGS}/paper/sheets.log",
    benchmark:
        f"{BENCHMARKS}/paper/sheets.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        variants=list(CONFIG.variants),
        resolution=CONFIG.image.resolution,
        code=code_digest("sheets.py"),
    script:
        "../workflow_scripts/sheets.py"
