# Base model, text encoders, cached latents, fine-tuning.


rule base_model:
    """Converts the base model (folder, hub id or single file) to a diffusers folder."""
    input:
        # a checkpoint file of some GB is compared by date, a folder by content
        checkpoint=CONFIG.base.source if BASE_KIND == "file" else [],
    output:
        base=directory(f"{RUN}/model/base"),
    log:
        f"{LOGS}/model/base_model.log",
    benchmark:
        f"{BENCHMARKS}/model/base_model.tsv"
    localrule: BASE_KIND == "hub"  # the login node has a way out, compute nodes often have none
    resources:
        mem_mb=memory,
        runtime=growing(120),
    params:
        key="base.source",
        kind=BASE_KIND,
        source=CONFIG.base.source,
        revision=CONFIG.base.revision,
        prediction_type=CONFIG.base.prediction_type,
        content=content_of(CONFIG.base.source),
        code=code_digest("model/base_model.py"),
    script:
        "../workflow_scripts/model/base_model.py"


# The login node has a way out to the hub, compute nodes often have none. The directive localrules would not know the name
# that the rule has as part of a module.
workflow.localrules(workflow.modifier.modify_rulename("given_model"))


use rule base_model as given_model with:
    """Converts a model of the user's, which a variant is or starts from, to a diffusers folder."""
    input:
        checkpoint=lambda wildcards: [source for source in [given_source(wildcards)] if Path(source).is_file()],
    output:
        base=directory(GIVEN),
    log:
        f"{LOGS}/model/given/{{variant}}.log",
    benchmark:
        f"{BENCHMARKS}/model/given/{{variant}}.tsv"
    params:
        key="variants.{variant}",
        kind=lambda wildcards: base_kind(given_source(wildcards)),
        source=given_source,
        revision=None,
        prediction_type=None,
        content=lambda wildcards: content_of(given_source(wildcards)),


rule encoder:
    """Copies a text encoder (folder, hub id or Python package) into a folder of the run."""
    output:
        encoder=directory(f"{RUN}/model/encoders/{{encoder}}"),
    log:
        f"{LOGS}/model/encoders/{{encoder}}.log",
    benchmark:
        f"{BENCHMARKS}/model/encoders/{{encoder}}.tsv"
    localrule: True
    resources:
        mem_mb=memory,
        runtime=growing(120),
    params:
        key="encoders.{encoder}.source",
        kind=lambda wildcards: encoder_kind(CONFIG.encoders[wildcards.encoder].source),
        source=lambda wildcards: CONFIG.encoders[wildcards.encoder].source,
        revision=lambda wildcards: CONFIG.encoders[wildcards.encoder].revision,
        content=lambda wildcards: content_of(CONFIG.encoders[wildcards.encoder].source),
        code=code_digest("model/encoder.py"),
    script:
        "../workflow_scripts/model/encoder.py"


rule latents:
    """Encodes one shard of the images, once for all variants."""
    input:
        images=f"{DATA}/images.csv",
        base=rules.base_model.output.base,
    output:
        latents=f"{LATENTS}/{{subset}}_{{shard}}.safetensors",
    log:
        f"{LOGS}/model/{{dataset}}/latents/{{subset}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/model/{{dataset}}/latents/{{subset}}_{{shard}}.tsv"
    threads: THREADS
    resources:
        **MODEL_JOB,
    params:
        **CONFIG.latents.model_dump(),
        resolution=CONFIG.image.resolution,
        code=code_digest("model/latents.py"),
    script:
        "../workflow_scripts/model/latents.py"


use rule latents as latents_of_given_model with:
    """Encodes one shard of the images with the autoencoder of a model of the user's."""
    input:
        images=f"{DATA}/images.csv",
        base=GIVEN,
    output:
        latents=f"{LATENTS_OF_GIVEN}/{{subset}}_{{shard}}.safetensors",
    log:
        f"{LOGS}/model/{{dataset}}/latents_of/{{variant}}/{{subset}}_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/model/{{dataset}}/latents_of/{{variant}}/{{subset}}_{{shard}}.tsv"


rule finetune:
    """Fine-tunes the base for one variant and seed."""
    input:
        images=f"{DATA}/images.csv",
        base=lambda wildcards: output_of(start_folder(wildcards)),
        encoder=encoder_of,
        latents=lambda wildcards: latent_shards(wildcards, "train"),
        captions=captions,
        sentences=sentences,
    output:
        model=directory(f"{MODEL}/final"),
        milestones=directory(f"{MODEL}/milestones"),
        # there without training.ema_decay too, and empty: a job with an output that no run has made yet is not
        # made again when its params change
        ema=directory(f"{MODEL}/ema"),
        losses=f"{MODEL}/losses.csv",
        validation=f"{MODEL}/validation_losses.csv",
        record=f"{MODEL}/training.json",
        counts=f"{MODEL}/training_counts.csv",
        provenance=f"{MODEL}/provenance.json",
    log:
        f"{LOGS}/model/{REPEAT}/finetune.log",
    benchmark:
        f"{BENCHMARKS}/model/{REPEAT}/finetune.tsv"
    # everything waits for the fine-tuned models, so they go first
    priority: 10
    threads: THREADS * TRAINING_PROCESSES
    resources:
        gpu=CONFIG.training_gpus,
        mem_mb=growing(CONFIG.resources.mem_mb * TRAINING_PROCESSES),
        runtime=runtime,
    params:
        model=start_folder,
        variant=lambda wildcards: CONFIG.variants[wildcards.variant].model_dump(
            exclude={"from_", "training", "weights", "sets", "seeds", "main"}
        ),
        training=training_of,
        validation=lambda wildcards: SETS[wildcards.dataset].validation,
        resolution=CONFIG.image.resolution,
        checkpoints=f"{MODEL}/checkpoint",
        code=code_digest("model/finetune.py"),
    script:
        f"{HOME}/workflow_scripts/model/finetune.py"
