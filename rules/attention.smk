# Token heat maps on real images.


rule heat_maps:
    """Averages the cross-attention of one model over steps and layers into one heat map per token of a text."""
    input:
        grounding=f"{DATA}/grounding.csv",
        wrong_prompts=f"{DATA}/wrong_prompts.csv",
        latents=lambda wildcards: latent_shards(wildcards, SETS[wildcards.dataset].boxes),
        model=model_output,
    output:
        heat_maps=f"{HEAT_MAPS}/heat_maps_{{shard}}.npz",
    log:
        f"{LOGS}/attention/{CHECKPOINT}/heat_maps_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/attention/{CHECKPOINT}/heat_maps_{{shard}}.tsv"
    priority: 5  # as samples: more waits for them than for faithfulness and the like
    threads: THREADS
    resources:
        **MODEL_JOB,
    params:
        **CONFIG.heat_maps.model_dump(exclude={"profile_samples"}),
        model=model_folder,
        conditioning=lambda wildcards: CONFIG.variants[wildcards.variant].text,
        texts=texts_of_checkpoint,
        wrong_prompts=lambda wildcards: wildcards.checkpoint == "final",
        unfinished=f"{HEAT_MAPS}/unfinished_{{shard}}",
        code=code_digest("attention/heat_maps.py"),
    script:
        f"{HOME}/workflow_scripts/attention/heat_maps.py"


rule attention_profile:
    """Scores each cross-attention layer at each time step on its own."""
    input:
        grounding=f"{DATA}/grounding.csv",
        latents=lambda wildcards: latent_shards(wildcards, SETS[wildcards.dataset].boxes),
        heat_maps=heat_map_shards,
        model=model_output,
    output:
        profile=f"{HEAT_MAPS}/attention_profile.csv",
    log:
        f"{LOGS}/attention/{CHECKPOINT}/attention_profile.log",
    benchmark:
        f"{BENCHMARKS}/attention/{CHECKPOINT}/attention_profile.tsv"
    threads: THREADS
    resources:
        **MODEL_JOB,
    params:
        **CONFIG.heat_maps.model_dump(include={"steps", "batch_size", "precision"}),
        model=model_folder,
        text=lambda wildcards: SETS[wildcards.dataset].texts[0],
        part=lambda wildcards: SETS[wildcards.dataset].choices,
        samples=CONFIG.heat_maps.profile_samples,
        resolution=CONFIG.image.resolution,
        code=code_digest("attention/attention_profile.py"),
    script:
        "../workflow_scripts/attention/attention_profile.py"


rule explored_maps:
    """Keeps each token's maps by layer and by diffusion time, for the explore page."""
    input:
        grounding=f"{DATA}/grounding.csv",
        latents=lambda wildcards: latent_shards(wildcards, SETS[wildcards.dataset].boxes),
        heat_maps=heat_map_shards,
        model=model_output,
    output:
        maps=f"{HEAT_MAPS}/explored_maps.npz",
    log:
        f"{LOGS}/attention/{CHECKPOINT}/explored_maps.log",
    benchmark:
        f"{BENCHMARKS}/attention/{CHECKPOINT}/explored_maps.tsv"
    threads: THREADS
    resources:
        **MODEL_JOB,
    params:
        **CONFIG.heat_maps.model_dump(include={"steps", "keep", "batch_size", "precision"}),
        model=model_folder,
        text=lambda wildcards: SETS[wildcards.dataset].texts[0],
        samples=CONFIG.heat_maps.profile_samples,
        resolution=CONFIG.image.resolution,
        code=code_digest("attention/explored_maps.py"),
    script:
        "../workflow_scripts/attention/explored_maps.py"


rule faithfulness:
    """Takes a finding's words out of the text and scores where the predicted image changes."""
    input:
        grounding=f"{DATA}/grounding.csv",
        latents=lambda wildcards: latent_shards(wildcards, SETS[wildcards.dataset].boxes),
        model=model_output,
    output:
        scores=f"{HEAT_MAPS}/faithfulness.csv",
    log:
        f"{LOGS}/attention/{CHECKPOINT}/faithfulness.log",
    benchmark:
        f"{BENCHMARKS}/attention/{CHECKPOINT}/faithfulness.tsv"
    threads: THREADS
    resources:
        **MODEL_JOB,
    params:
        **CONFIG.heat_maps.model_dump(include={"steps", "keep", "batch_size", "precision"}),
        model=model_folder,
        text=lambda wildcards: SETS[wildcards.dataset].texts[0],
        part=scored_part,
        samples=CONFIG.heat_maps.profile_samples,
        resolution=CONFIG.image.resolution,
        map_size=MAP_SIZE,
        code=code_digest("attention/faithfulness.py"),
    script:
        "../workflow_scripts/attention/faithfulness.py"
