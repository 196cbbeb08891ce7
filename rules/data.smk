# Raw layouts -> prepared tables. The demo writes phantoms in the same layouts first.
DATA = f"{RUN}/data/cxr"
PHANTOMS = f"{RUN}/data/cxr/raw"


def raw_folder(key):
    """A raw data folder: the config's, or the phantoms'."""
    if CONFIG.data.source == "phantoms":
        return {
            "mimic_cxr_jpg": f"{PHANTOMS}/mimic-cxr-jpg",
            "mimic_cxr_reports": f"{PHANTOMS}/mimic-cxr",
            "ms_cxr": f"{PHANTOMS}/ms-cxr",
        }[key]
    return getattr(CONFIG.data, key)


RAW = [PHANTOMS] if CONFIG.data.source == "phantoms" else []


rule phantoms:
    output:
        raw=directory(PHANTOMS),
    params:
        phantoms=CONFIG.data.phantoms.model_dump(),
        code=code_digest("write_phantoms.py"),
    log:
        f"{LOGS}/data/phantoms.log",
    benchmark:
        f"{BENCHMARKS}/data/phantoms.tsv"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=60,
    conda:
        ENVIRONMENT
    script:
        "../workflow_scripts/write_phantoms.py"


rule prepare_images:
    input:
        raw=RAW,
    output:
        images=f"{DATA}/images.csv",
        counts=f"{DATA}/images_counts.csv",
    params:
        mimic_cxr_jpg=raw_folder("mimic_cxr_jpg"),
        mimic_reports=raw_folder("mimic_cxr_reports"),
        ms_cxr=raw_folder("ms_cxr"),
        views=CONFIG.data.views,
        max_missing=CONFIG.data.max_missing,
        code=code_digest("prepare_images.py"),
    log:
        f"{LOGS}/data/prepare_images.log",
    benchmark:
        f"{BENCHMARKS}/data/prepare_images.tsv"
    resources:
        mem_mb=4000,
        runtime=120,
    conda:
        ENVIRONMENT
    script:
        "../workflow_scripts/prepare_images.py"


rule prepare_grounding:
    input:
        raw=RAW,
        images=rules.prepare_images.output.images,
    output:
        grounding=f"{DATA}/grounding.csv",
        counts=f"{DATA}/grounding_counts.csv",
    params:
        ms_cxr=raw_folder("ms_cxr"),
        code=code_digest("prepare_grounding.py"),
    log:
        f"{LOGS}/data/prepare_grounding.log",
    benchmark:
        f"{BENCHMARKS}/data/prepare_grounding.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
    conda:
        ENVIRONMENT
    script:
        "../workflow_scripts/prepare_grounding.py"


rule prepare_prompts:
    input:
        images=rules.prepare_images.output.images,
        user_csv=CONFIG.data.prompts or [],
    output:
        prompts=f"{DATA}/prompts.csv",
        counts=f"{DATA}/prompts_counts.csv",
    params:
        n=CONFIG.sampling.images,
        seed=0,
        user_csv=CONFIG.data.prompts,
        code=code_digest("prepare_prompts.py"),
    log:
        f"{LOGS}/data/prepare_prompts.log",
    benchmark:
        f"{BENCHMARKS}/data/prepare_prompts.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
    conda:
        ENVIRONMENT
    script:
        "../workflow_scripts/prepare_prompts.py"
