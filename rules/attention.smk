# Token heat maps on real images.


rule heat_maps:
    input:
        grounding=f"{RUN}/data/{{dataset}}/grounding.csv",
        latents=latent_shards("mscxr"),
        model=model_folder,
    output:
        phrase=f"{HEAT_MAPS}/phrase_{{shard}}.npz",
        impression=f"{HEAT_MAPS}/impression_{{shard}}.npz",
    log:
        f"{LOGS}/attention/{{dataset}}/{{variant}}/seed{{seed}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/attention/{{dataset}}/{{variant}}/seed{{seed}}/{{shard}}.tsv"
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=CONFIG.resources.gpus,
        mem_mb=memory,
        runtime=runtime,
    params:
        steps=CONFIG.heat_maps.steps,
        keep=CONFIG.heat_maps.keep,
        batch_size=CONFIG.heat_maps.batch_size,
        shards=CONFIG.heat_maps.shards,
        code=code_digest("heat_maps.py"),
    script:
        "../workflow_scripts/heat_maps.py"
