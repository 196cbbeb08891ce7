# Synthetic images.
SAMPLING = CONFIG.sampling.model_dump(exclude={"images", "shards", "text", "unconditional"})  # how, not of what


rule samples:
    """Samples one shard of a model's images from the prompt list, with classifier-free guidance."""
    input:
        prompts=f"{DATA}/prompts.csv",
        sentences=lambda wildcards: (
            CONFIG.data.sentences if CONFIG.sampled_from(wildcards.variant) == "sentences" else []
        ),
        model=model_output,
    output:
        images=directory(f"{SAMPLES}/images"),
        samples=f"{SAMPLES}/samples.csv",
    log:
        f"{LOGS}/sampling/{CHECKPOINT}/samples_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/sampling/{CHECKPOINT}/samples_{{shard}}.tsv"
    priority: 5
    threads: THREADS
    resources:
        **MODEL_JOB,
    params:
        model=model_folder,
        text=lambda wildcards: CONFIG.sampled_from(wildcards.variant),
        unconditional=lambda wildcards: CONFIG.unconditional_text(wildcards.variant),
        sampling=SAMPLING,
        resolution=CONFIG.image.resolution,
        shards=CONFIG.sampling.shards,
        unfinished=f"{SAMPLES}/unfinished",
        ms_ssim=CONFIG.evaluation.ms_ssim.model_dump(),
        code=code_digest("sampling/draw_samples.py"),
    script:
        f"{HOME}/workflow_scripts/sampling/draw_samples.py"
