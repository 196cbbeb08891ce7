# What each row of docs/differences.md does on the demo, on its own; for those who change the project.
from tradeoffs.data.findings import NO_FINDING

EFFECT = f"{RUN}/effects/row{{row}}/{REPEAT}"
TUNED = [label for label in first_repeats(CONFIG, MAIN) if label["variant"] in ("frozen", "learnable")]
CXR_TUNED = [label for label in TUNED if label["dataset"] == "cxr"]
NOISE_SEEDS = range(1000, 1003)  # row 1: further heat maps of one model
TRAINING_CHANGES = {
    12: {"text_dropout": 0.0},  # the original's, where no text is literally "No Finding"
    13: {},
    20: {"batch_size": CONFIG.training.batch_size // 2},  # the original's on half the GPUs
}
# rows 26 and 27: further samples of one model that was trained on labels
LABELLED = [label for label in first_repeats(CONFIG, ALL) if label["variant"] == "labels_frozen"]
SAMPLED_OTHERWISE = [label | {"row": row} for label in LABELLED for row in (26, 27)]
EMA_DECAY = 0.9999  # the original's; the average changes nothing about the weights themselves
EFFECT_REPEATS = [label | {"row": 1, "seed": seed} for label in CXR_TUNED[:1] for seed in NOISE_SEEDS]
EFFECT_REPEATS += [label | {"row": row} for label in CXR_TUNED[:1] for row in [14, *TRAINING_CHANGES]]


use rule finetune as finetune_for_effect with:
    output:
        model=directory(f"{EFFECT}/final"),
        milestones=directory(f"{EFFECT}/milestones"),
        ema=directory(f"{EFFECT}/ema"),
        losses=f"{EFFECT}/losses.csv",
        validation=f"{EFFECT}/validation_losses.csv",
        record=f"{EFFECT}/training.json",
        counts=f"{EFFECT}/training_counts.csv",
    log:
        f"{LOGS}/effects/row{{row}}/{REPEAT}/finetune.log",
    benchmark:
        f"{BENCHMARKS}/effects/row{{row}}/{REPEAT}/finetune.tsv"
    params:
        training=lambda wildcards: training_of(wildcards)
        | {"milestones": [], "ema_decay": EMA_DECAY}
        | TRAINING_CHANGES[int(wildcards.row)],
        checkpoints=f"{EFFECT}/checkpoint",


use rule heat_maps as heat_maps_for_effect with:
    input:
        grounding=f"{DATA}/grounding.csv",
        wrong_prompts=f"{DATA}/wrong_prompts.csv",
        latents=lambda wildcards: latent_shards(wildcards, SETS[wildcards.dataset].boxes),
        model=model_for_effect,
    output:
        heat_maps=f"{EFFECT}/heat_maps_{{shard}}.npz",
    log:
        f"{LOGS}/effects/row{{row}}/{REPEAT}/heat_maps_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/effects/row{{row}}/{REPEAT}/heat_maps_{{shard}}.tsv"
    params:
        model=model_for_effect,
        texts=lambda wildcards: SETS[wildcards.dataset].texts[:1],
        wrong_prompts=False,
        precision=lambda wildcards: "bf16" if wildcards.row == "14" else CONFIG.heat_maps.precision,
        unfinished=f"{EFFECT}/unfinished_{{shard}}",


use rule localise as localise_for_effect with:
    input:
        grounding=f"{DATA}/grounding.csv",
        wrong_prompts=f"{DATA}/wrong_prompts.csv",
        heat_maps=[f"{EFFECT}/heat_maps_{shard}.npz" for shard in range(CONFIG.heat_maps.shards)],
    output:
        scores=f"{EFFECT}/localisation.csv",
    log:
        f"{LOGS}/effects/row{{row}}/{REPEAT}/localise.log",
    benchmark:
        f"{BENCHMARKS}/effects/row{{row}}/{REPEAT}/localise.tsv"
    params:
        texts=lambda wildcards: SETS[wildcards.dataset].texts[:1],
        part="test",
        protocols=["corrected"],


use rule samples as samples_for_effect with:
    output:
        images=directory(f"{EFFECT}/shard{{shard}}/images"),
        samples=f"{EFFECT}/shard{{shard}}/samples.csv",
    log:
        f"{LOGS}/effects/row{{row}}/{REPEAT}/samples_{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/effects/row{{row}}/{REPEAT}/samples_{{shard}}.tsv"
    params:
        text=lambda wildcards: "finding_labels" if wildcards.row == "26" else CONFIG.sampled_from(wildcards.variant),
        unconditional=lambda wildcards: NO_FINDING if wildcards.row == "27" else "",
        unfinished=f"{EFFECT}/shard{{shard}}/unfinished",


use rule fidelity as fidelity_for_effect with:
    input:
        **NETWORKS,
        samples=lambda wildcards: paths(f"{EFFECT}/shard{{shard}}/samples.csv", [wildcards], CONFIG.sampling.shards),
        images=lambda wildcards: paths(f"{EFFECT}/shard{{shard}}/images", [wildcards], CONFIG.sampling.shards),
        real=rules.real_features.output.features,
    output:
        scores=f"{EFFECT}/fidelity.csv",
    log:
        f"{LOGS}/effects/row{{row}}/{REPEAT}/fidelity.log",
    benchmark:
        f"{BENCHMARKS}/effects/row{{row}}/{REPEAT}/fidelity.tsv"


rule scoring_effects:
    """Scores one model's heat maps with single rows of the protocol as in the original."""
    input:
        grounding=f"{DATA}/grounding.csv",
        heat_maps=heat_map_shards,
    output:
        effects=f"{RUN}/effects/{CHECKPOINT}/scoring.csv",
    log:
        f"{LOGS}/effects/{CHECKPOINT}/scoring.log",
    benchmark:
        f"{BENCHMARKS}/effects/{CHECKPOINT}/scoring.tsv"
    resources:
        **LIGHT_JOB,
    params:
        texts=lambda wildcards: SETS[wildcards.dataset].texts,
        resolution=CONFIG.image.resolution,
        code=code_digest("upkeep/scoring_effects.py"),
    script:
        "../../workflow_scripts/upkeep/scoring_effects.py"


rule fidelity_effects:
    """Scores one model's samples with single rows of the protocol as in the original."""
    input:
        images=f"{DATA}/images.csv",
        samples=lambda wildcards: sample_shards(wildcards, "samples.csv"),
        real=f"{EVALUATION}/real_features.npz",
        fidelity=f"{SCORES}/fidelity.csv",
        classifier=f"{RUN}/evaluation/cxr/classifier",
    output:
        effects=f"{RUN}/effects/{CHECKPOINT}/fidelity.csv",
    log:
        f"{LOGS}/effects/{CHECKPOINT}/fidelity.log",
    benchmark:
        f"{BENCHMARKS}/effects/{CHECKPOINT}/fidelity.tsv"
    threads: THREADS
    resources:
        **LIGHT_JOB,
    params:
        resolution=CONFIG.image.resolution,
        batch_size=CONFIG.evaluation.batch_size,
        sets=CONFIG.evaluation.ms_ssim.prompts,
        size=CONFIG.evaluation.ms_ssim.repeats,
        split=lambda wildcards: SETS[wildcards.dataset].population,
        n=CONFIG.evaluation.real_images,
        code=code_digest("upkeep/fidelity_effects.py"),
    script:
        "../../workflow_scripts/upkeep/fidelity_effects.py"


if DEMO and CXR_TUNED:

    rule effects:
        """Measures on the demo the effect of each deviation from the original, and shows it in docs/differences.md."""
        input:
            scoring=paths(f"{RUN}/effects/{CHECKPOINT}/scoring.csv", TUNED),
            fidelity=paths(f"{RUN}/effects/{CHECKPOINT}/fidelity.csv", CXR_TUNED),
            here=paths(f"{SCORES}/localisation.csv", CXR_TUNED[:1]),
            repeats=paths(f"{EFFECT}/localisation.csv", EFFECT_REPEATS),
            sampled=paths(f"{SCORES}/fidelity.csv", LABELLED) + paths(f"{EFFECT}/fidelity.csv", SAMPLED_OTHERWISE),
            images=f"{CXR}/images.csv",
            images_counts=f"{CXR}/images_counts.csv",
        output:
            csv="docs/effects.csv",
            page="docs/differences.md",
        log:
            f"{LOGS}/effects/effects.log",
        benchmark:
            f"{BENCHMARKS}/effects/effects.tsv"
        resources:
            **LIGHT_JOB,
        params:
            rows=[label["row"] for label in EFFECT_REPEATS],
            template=sha256(Path(HOME, "tradeoffs/paper/differences.md.j2")),
            code=code_digest("upkeep/effects.py"),
        script:
            "../../workflow_scripts/upkeep/effects.py"
