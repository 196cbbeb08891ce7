# Heat-map methods compared, and why the trade-off happens: one pass over the images a model, the rest from its sums.
METHODS = {name: method.model_dump() for name, method in CONFIG.attention.methods.items()}
DEFAULT_TEXT = {dataset: SETS[dataset].texts[0] for dataset in DATASETS}

PAIRED = {  # the variants that are in a pair, by data set
    dataset: list(
        dict.fromkeys(one[kind] for one in PAIRS if one["dataset"] == dataset for kind in ("frozen", "learnable"))
    )
    for dataset in DATASETS
}


rule attention_sums:
    """Sums the cross-attention of one model by layer group and step group, for all heat-map methods at once."""
    input:
        grounding=f"{DATA}/grounding.csv",
        latents=lambda wildcards: latent_shards(wildcards, SETS[wildcards.dataset].boxes),
        model=model_output,
    output:
        sums=f"{HEAT_MAPS}/attention_sums.npz",
    log:
        f"{LOGS}/attention/{CHECKPOINT}/attention_sums.log",
    benchmark:
        f"{BENCHMARKS}/attention/{CHECKPOINT}/attention_sums.tsv"
    threads: THREADS
    resources:
        **MODEL_JOB,
    params:
        **CONFIG.heat_maps.model_dump(include={"steps", "batch_size", "precision"}),
        model=model_folder,
        text=lambda wildcards: DEFAULT_TEXT[wildcards.dataset],
        patients=CONFIG.attention.patients,
        passes=passes_of_checkpoint,
        guidance=lambda wildcards: CONFIG.sampling.guidance if GENERATION in passes_of_checkpoint(wildcards) else None,
        code=code_digest("attention/attention_sums.py"),
    script:
        "../workflow_scripts/attention/attention_sums.py"


rule score_methods:
    """Scores every heat-map method on the sums of one model."""
    input:
        grounding=f"{DATA}/grounding.csv",
        sums=rules.attention_sums.output.sums,
    output:
        scores=f"{SCORES}/methods.csv",
    log:
        f"{LOGS}/evaluation/{CHECKPOINT}/methods.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{CHECKPOINT}/methods.tsv"
    resources:
        mem_mb=growing(16000),
        runtime=growing(480),
    params:
        methods=METHODS,
        text=lambda wildcards: DEFAULT_TEXT[wildcards.dataset],
        patients=CONFIG.attention.patients,
        resolution=CONFIG.image.resolution,
        map_size=MAP_SIZE,
        frame=CONFIG.evaluation.frame,
        code=code_digest("evaluation/score_methods.py"),
    script:
        "../workflow_scripts/evaluation/score_methods.py"


use rule table1 as methods with:
    """Table of heat-map methods for each variant; the best one is chosen on validation patients (not part of all)."""
    input:
        methods=paths(f"{SCORES}/methods.csv", repeats(CONFIG, MAIN)),
        priors=paths(f"{EVALUATION}/{LOCATION_PRIOR}/localisation.csv", PRIORS),
        counts=COUNTS,
    output:
        **table_files("methods"),
    log:
        f"{LOGS}/paper/methods.log",
    benchmark:
        f"{BENCHMARKS}/paper/methods.tsv"
    localrule: True
    params:
        table="methods_table",
        title=f"Heat-map methods. {NOTE}".strip(),
        arguments={"names": list(METHODS), "text": DEFAULT_TEXT, "draws": CONFIG.evaluation.bootstrap},


rule measure_mechanism:
    """Measures what fine-tuning did to one model's token embeddings and cross-attention."""
    input:
        grounding=f"{DATA}/grounding.csv",
        sums=rules.attention_sums.output.sums,
        model=model_output,
        base=f"{RUN}/model/base",
    output:
        measures=f"{SCORES}/mechanism.csv",
    log:
        f"{LOGS}/evaluation/{CHECKPOINT}/mechanism.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{CHECKPOINT}/mechanism.tsv"
    threads: THREADS
    resources:
        **MODEL_JOB,
    params:
        model=model_folder,
        base=lambda wildcards, input: input.base,
        same_encoder=lambda wildcards: CONFIG.variants[wildcards.variant].encoder is None,
        step=step_of,
        text=lambda wildcards: DEFAULT_TEXT[wildcards.dataset],
        patients=CONFIG.attention.patients,
        resolution=CONFIG.image.resolution,
        map_size=MAP_SIZE,
        code=code_digest("evaluation/mechanism.py"),
    script:
        "../workflow_scripts/evaluation/mechanism.py"


rule mechanism:
    """Why the trade-off happens: table, paragraph and figure for each frozen and learnable pair (not part of all)."""
    input:
        measures=paths(f"{SCORES}/mechanism.csv", checkpoints(CONFIG, PAIRED)),
        counts=COUNTS,
    output:
        **table_files("mechanism"),
        **figure_files("mechanism"),
    log:
        f"{LOGS}/paper/mechanism.log",
    benchmark:
        f"{BENCHMARKS}/paper/mechanism.tsv"
    localrule: True
    resources:
        **LIGHT_JOB,
    params:
        title=f"Why the trade-off happens. {NOTE}".strip(),
        pairs=PAIRS,
        draws=CONFIG.evaluation.bootstrap,
        datasets=TABLE_TITLES,
        variants=list(CONFIG.variants),
        note=NOTE,
        code=code_digest("paper/mechanism.py"),
    script:
        "../workflow_scripts/paper/mechanism.py"
