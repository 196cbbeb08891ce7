# Synthetic images.


rule samples:
    input:
        prompts=f"{RUN}/data/{{dataset}}/prompts.csv",
        model=model_folder,
    output:
        images=directory(f"{SAMPLES}/images"),
        samples=f"{SAMPLES}/samples.csv",
    log:
        f"{LOGS}/sampling/{{dataset}}/{{variant}}/seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/sampling/{{dataset}}/{{variant}}/seed{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=CONFIG.resources.gpus,
        mem_mb=memory,
        runtime=runtime,
    params:
        sampling=CONFIG.sampling.model_dump(exclude={"images"}),
        ms_ssim=CONFIG.evaluation.ms_ssim.model_dump(),
        code=code_digest("draw_samples.py"),
    script:
        "../workflow_scripts/draw_samples.py"
