# Raw layouts -> prepared tables. The demo writes phantoms in the same layouts first.
# of cxr; the boxes are in the last of them
CXR_FOLDERS = SETS["cxr"].folders
CXR_TABLES = [key for key in CXR_FOLDERS if key != "mimic_cxr_reports"]


rule phantoms:
    """Draws phantom chest radiographs in the layouts of MIMIC-CXR-JPG, its reports and MS-CXR."""
    output:
        raw=directory(f"{CXR}/raw"),
    log:
        f"{LOGS}/data/cxr/phantoms.log",
    benchmark:
        f"{BENCHMARKS}/data/cxr/phantoms.tsv"
    priority: 20  # a job of two threads that comes later lets cores wait
    threads: 2
    resources:
        **LIGHT_JOB,
    params:
        phantoms=CONFIG.data.phantoms.model_dump(exclude={"coco_train", "coco_val"}),
        code=code_digest("data/write_phantoms.py"),
    script:
        "../workflow_scripts/data/write_phantoms.py"


rule prepare_images:
    """Reads MIMIC-CXR-JPG and its reports, or Open-i and ChestX-ray14, into the image table."""
    input:
        raw=rules.phantoms.output.raw if DEMO else raw_tables(CONFIG.data, *CXR_TABLES),
        prepared=prepared("cxr"),
    output:
        images=f"{CXR}/images.csv",
        counts=f"{CXR}/images_counts.csv",
    log:
        f"{LOGS}/data/cxr/prepare_images.log",
    benchmark:
        f"{BENCHMARKS}/data/cxr/prepare_images.tsv"
    resources:
        **LIGHT_JOB,
    params:
        folders={key: raw_folder(key) for key in CXR_FOLDERS},
        views=CONFIG.data.views,
        limits=CONFIG.data.limit.of("cxr"),
        code=code_digest("data/prepare_images.py"),
    script:
        "../workflow_scripts/data/prepare_images.py"


rule prepare_grounding:
    """Reads the boxes of MS-CXR, or of ChestX-ray14, into the grounding table, one row per image, phrase and finding."""
    input:
        raw=rules.phantoms.output.raw if DEMO else raw_tables(CONFIG.data, CXR_FOLDERS[-1]),
        images=rules.prepare_images.output.images,
    output:
        grounding=f"{CXR}/grounding.csv",
        counts=f"{CXR}/grounding_counts.csv",
    log:
        f"{LOGS}/data/cxr/prepare_grounding.log",
    benchmark:
        f"{BENCHMARKS}/data/cxr/prepare_grounding.tsv"
    localrule: True
    resources:
        **LIGHT_JOB,
    params:
        folders={CXR_FOLDERS[-1]: raw_folder(CXR_FOLDERS[-1])},
        query_words=CONFIG.data.query_words_of("cxr"),
        code=code_digest("data/prepare_grounding.py"),
    script:
        "../workflow_scripts/data/prepare_grounding.py"


rule prepare_prompts:
    """Makes the list of prompts: impressions balanced over the findings, MS-CXR's phrases, or the user's own."""
    input:
        images=rules.prepare_images.output.images,
        phrases=rules.prepare_grounding.output.grounding if CONFIG.data.prompts == "mscxr" else [],
        user_csv=CONFIG.data.prompts_file or [],
    output:
        prompts=f"{CXR}/prompts.csv",
        counts=f"{CXR}/prompts_counts.csv",
    log:
        f"{LOGS}/data/cxr/prepare_prompts.log",
    benchmark:
        f"{BENCHMARKS}/data/cxr/prepare_prompts.tsv"
    localrule: True
    resources:
        **LIGHT_JOB,
    params:
        n=CONFIG.sampling.images,
        seed=0,
        code=code_digest("data/prepare_prompts.py"),
    script:
        "../workflow_scripts/data/prepare_prompts.py"


rule phantom_scenes:
    """Draws phantom scenes with captions and masks in the layout of MS-COCO."""
    output:
        raw=directory(f"{COCO}/raw"),
    log:
        f"{LOGS}/data/coco/phantom_scenes.log",
    benchmark:
        f"{BENCHMARKS}/data/coco/phantom_scenes.tsv"
    priority: 20  # a job of two threads that comes later lets cores wait
    threads: 2
    resources:
        **LIGHT_JOB,
    params:
        phantoms={
            "seed": CONFIG.data.phantoms.seed,
            "train": CONFIG.data.phantoms.coco_train,
            "val": CONFIG.data.phantoms.coco_val,
        },
        code=code_digest("data/write_phantom_coco.py"),
    script:
        "../workflow_scripts/data/write_phantom_coco.py"


rule prepare_coco:
    """Reads MS-COCO's captions and instances into the image and caption tables."""
    input:
        raw=rules.phantom_scenes.output.raw if DEMO else raw_tables(CONFIG.data, "coco"),
        prepared=prepared("coco"),
    output:
        images=f"{COCO}/images.csv",
        captions=f"{COCO}/captions.csv",
        counts=f"{COCO}/images_counts.csv",
    log:
        f"{LOGS}/data/coco/prepare_coco.log",
    benchmark:
        f"{BENCHMARKS}/data/coco/prepare_coco.tsv"
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        limits=CONFIG.data.limit.of("coco"),
        coco=lambda wildcards: raw_folder("coco"),  # the lint takes a plain value for the start of the input's path
        code=code_digest("data/prepare_coco.py"),
    script:
        "../workflow_scripts/data/prepare_coco.py"


rule prepare_coco_grounding:
    """Reads MS-COCO's instances into the grounding table, one row per caption and class that it names."""
    input:
        raw=rules.prepare_coco.input.raw,
        images=rules.prepare_coco.output.images,
        captions=rules.prepare_coco.output.captions,
    output:
        grounding=f"{COCO}/grounding.csv",
        counts=f"{COCO}/grounding_counts.csv",
    log:
        f"{LOGS}/data/coco/prepare_grounding.log",
    benchmark:
        f"{BENCHMARKS}/data/coco/prepare_grounding.tsv"
    resources:
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        coco=lambda wildcards: raw_folder("coco"),
        most_captions=CONFIG.data.coco_captions,
        query_words=CONFIG.data.query_words_of("coco"),
        code=code_digest("data/prepare_coco_grounding.py"),
    script:
        "../workflow_scripts/data/prepare_coco_grounding.py"


rule prepare_coco_prompts:
    """Draws the list of prompts from the captions of the test images."""
    input:
        images=rules.prepare_coco.output.images,
    output:
        prompts=f"{COCO}/prompts.csv",
        counts=f"{COCO}/prompts_counts.csv",
    log:
        f"{LOGS}/data/coco/prepare_prompts.log",
    benchmark:
        f"{BENCHMARKS}/data/coco/prepare_prompts.tsv"
    localrule: True
    resources:
        **LIGHT_JOB,
    params:
        n=CONFIG.sampling.images,
        seed=0,
        code=code_digest("data/prepare_coco_prompts.py"),
    script:
        "../workflow_scripts/data/prepare_coco_prompts.py"


rule prepare_boxes:
    """Reads a further set of boxes or masks into an image table and a grounding table."""
    input:
        raw=lambda wildcards: tables_of_set(CONFIG.grounding[wildcards.boxes]),
        trained_on=lambda wildcards: f"{RUN}/data/{CONFIG.models_of(wildcards.boxes)}/images.csv",
    output:
        images=f"{RUN}/data/{{boxes}}/images.csv",
        grounding=f"{RUN}/data/{{boxes}}/grounding.csv",
        counts=f"{RUN}/data/{{boxes}}/grounding_counts.csv",
    log:
        f"{LOGS}/data/{{boxes}}/prepare_boxes.log",
    benchmark:
        f"{BENCHMARKS}/data/{{boxes}}/prepare_boxes.tsv"
    conda:
        ENVIRONMENT
    resources:
        **LIGHT_JOB,
    params:
        of_set=lambda wildcards: CONFIG.grounding[wildcards.boxes].model_dump(exclude={"models", "title", "images"}),
        folder=lambda wildcards: images_of_set(CONFIG.grounding[wildcards.boxes]),
        code=code_digest("data/prepare_boxes.py"),
    script:
        "../workflow_scripts/data/prepare_boxes.py"


rule prepare_wrong_prompts:
    """Chooses for each heat map a text that names another finding, as a control."""
    input:
        grounding=f"{DATA}/grounding.csv",
        images=f"{DATA}/images.csv",
    output:
        wrong_prompts=f"{DATA}/wrong_prompts.csv",
    log:
        f"{LOGS}/data/{{dataset}}/prepare_wrong_prompts.log",
    benchmark:
        f"{BENCHMARKS}/data/{{dataset}}/prepare_wrong_prompts.tsv"
    localrule: True
    resources:
        **LIGHT_JOB,
    params:
        texts=lambda wildcards: SETS[wildcards.dataset].texts,
        seed=0,
        code=code_digest("data/prepare_wrong_prompts.py"),
    script:
        "../workflow_scripts/data/prepare_wrong_prompts.py"
