# The demo's base model, for those who want to make it anew: snakemake --cores 2 demo_base
# The chosen one ships in resources/demo_base; to use another, set base.source to its folder.
CANDIDATES = "results/demo_base"
BASE_TRAINING = CONFIG.base_training


rule demo_base_vae:
    """Trains the autoencoder and the tokenizer of the demo's base."""
    output:
        vae=directory(f"{CANDIDATES}/vae"),
        tokenizer=directory(f"{CANDIDATES}/tokenizer"),
        latents=f"{CANDIDATES}/latents.safetensors",
        captions=f"{CANDIDATES}/captions.json",
    log:
        "logs/demo_base/vae.log",
    benchmark:
        f"{CANDIDATES}/benchmarks/vae.tsv"
    conda:
        ENVIRONMENT
    resources:
        **LIGHT_JOB,
    params:
        pictures=BASE_TRAINING.pictures,
        phantom_share=BASE_TRAINING.phantom_share,
        steps=BASE_TRAINING.vae_steps,
        decoder_steps=BASE_TRAINING.decoder_steps,
        batch_size=BASE_TRAINING.vae_batch_size,
        learning_rate=BASE_TRAINING.vae_learning_rate,
        seed=0,
        code=code_digest("upkeep/train_demo_vae.py"),
    script:
        "../../workflow_scripts/upkeep/train_demo_vae.py"


rule demo_base_candidate:
    """Trains one candidate for the demo's base."""
    input:
        vae=rules.demo_base_vae.output.vae,
        tokenizer=rules.demo_base_vae.output.tokenizer,
        latents=rules.demo_base_vae.output.latents,
        captions=rules.demo_base_vae.output.captions,
    output:
        base=directory(f"{CANDIDATES}/seed{{seed}}"),
    log:
        "logs/demo_base/seed{seed}.log",
    benchmark:
        f"{CANDIDATES}/benchmarks/seed{{seed}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        **LIGHT_JOB,
    params:
        steps=BASE_TRAINING.unet_steps,
        batch_size=BASE_TRAINING.batch_size,
        learning_rate=BASE_TRAINING.unet_learning_rate,
        unconditional=BASE_TRAINING.unconditional,
        code=code_digest("upkeep/train_demo_base.py"),
    script:
        "../../workflow_scripts/upkeep/train_demo_base.py"


rule demo_base_scores:
    """Scores a candidate on selection phantoms."""
    input:
        base=rules.demo_base_candidate.output.base,
    output:
        scores=f"{CANDIDATES}/seed{{seed}}_scores.csv",
    log:
        "logs/demo_base/seed{seed}_scores.log",
    benchmark:
        f"{CANDIDATES}/benchmarks/seed{{seed}}_scores.tsv"
    conda:
        ENVIRONMENT
    resources:
        **LIGHT_JOB,
    params:
        selection_seed=BASE_TRAINING.selection_seed,
        images=BASE_TRAINING.selection_images,
        train=CONFIG.data.phantoms.train,
        resolution=CONFIG.image.resolution,
        training=CONFIG.training_of("cxr"),
        heat_maps=CONFIG.heat_maps.model_dump(exclude={"shards", "profile_samples"}),
        code=code_digest("upkeep/score_demo_base.py"),
    script:
        "../../workflow_scripts/upkeep/score_demo_base.py"


rule demo_base:
    """Makes the demo's base model anew and chooses the best candidate."""
    input:
        candidates=expand(rules.demo_base_candidate.output.base, seed=BASE_TRAINING.seeds),
        scores=expand(rules.demo_base_scores.output.scores, seed=BASE_TRAINING.seeds),
    output:
        chosen=directory(f"{CANDIDATES}/chosen"),
    log:
        "logs/demo_base/choose.log",
    benchmark:
        f"{CANDIDATES}/benchmarks/choose.tsv"
    conda:
        ENVIRONMENT
    resources:
        **LIGHT_JOB,
    params:
        training=BASE_TRAINING.model_dump(),
        code=code_digest("upkeep/choose_demo_base.py"),
    script:
        "../../workflow_scripts/upkeep/choose_demo_base.py"
