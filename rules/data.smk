# Raw layouts -> prepared tables. The demo writes phantoms in the same layouts first.
rule phantoms:
    output:
        raw=directory(PHANTOMS),
    log:
        f"{LOGS}/data/phantoms.log",
    benchmark:
        f"{BENCHMARKS}/data/phantoms.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        phantoms=CONFIG.data.phantoms.model_dump(),
        code=code_digest("write_phantoms.py"),
    script:
        "../workflow_scripts/write_phantoms.py"


rule prepare_images:
    input:
        raw=RAW,
    output:
        images=f"{DATA}/images.csv",
        counts=f"{DATA}/images_counts.csv",
    log:
        f"{LOGS}/data/prepare_images.log",
    benchmark:
        f"{BENCHMARKS}/data/prepare_images.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        mimic_cxr_jpg=raw_folder("mimic_cxr_jpg"),
        mimic_reports=raw_folder("mimic_cxr_reports"),
        ms_cxr=raw_folder("ms_cxr"),
        views=CONFIG.data.views,
        max_missing=CONFIG.data.max_missing,
        code=code_digest("prepare_images.py"),
    script:
        "../workflow_scripts/prepare_images.py"


rule prepare_grounding:
    input:
        raw=RAW,
        images=rules.prepare_images.output.images,
    output:
        grounding=f"{DATA}/grounding.csv",
        counts=f"{DATA}/grounding_counts.csv",
    log:
        f"{LOGS}/data/prepare_grounding.log",
    benchmark:
        f"{BENCHMARKS}/data/prepare_grounding.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        ms_cxr=raw_folder("ms_cxr"),
        code=code_digest("prepare_grounding.py"),
    script:
        "../workflow_scripts/prepare_grounding.py"


rule prepare_prompts:
    input:
        images=rules.prepare_images.output.images,
        user_csv=CONFIG.data.prompts or [],
    output:
        prompts=f"{DATA}/prompts.csv",
        counts=f"{DATA}/prompts_counts.csv",
    log:
        f"{LOGS}/data/prepare_prompts.log",
    benchmark:
        f"{BENCHMARKS}/data/prepare_prompts.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        n=CONFIG.sampling.images,
        seed=0,
        user_csv=CONFIG.data.prompts,
        code=code_digest("prepare_prompts.py"),
    script:
        "../workflow_scripts/prepare_prompts.py"
