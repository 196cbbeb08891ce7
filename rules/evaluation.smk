# Scores: localisation with its controls, fidelity, intervals and differences.
LOCALISATION = {
    "protocols": PROTOCOLS,
    "resolution": CONFIG.image.resolution,
    "frame": CONFIG.evaluation.frame,
    "part": scored_part,
}
KID = {"kid_subset_size": CONFIG.evaluation.kid_subset, "kid_subsets": 100}  # of all fidelity scores
# the user's weights files are compared by date, as large inputs are
NETWORKS = {
    "general": CONFIG.evaluation.extractors.inception or [],
    "domain": domain_extractor,
    "vit": CONFIG.evaluation.extractors.dinov2 or [],
}


rule localise:
    """Scores the heat maps of one model against boxes or masks, one row per sample."""
    input:
        grounding=f"{DATA}/grounding.csv",
        wrong_prompts=f"{DATA}/wrong_prompts.csv",
        heat_maps=heat_map_shards,
    output:
        scores=f"{SCORES}/localisation.csv",
    log:
        f"{LOGS}/evaluation/{CHECKPOINT}/localise.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{CHECKPOINT}/localise.tsv"
    resources:
        **LIGHT_JOB,
    params:
        **LOCALISATION,
        step=step_of,
        texts=texts_of_checkpoint,
        code=code_digest("evaluation/localise.py"),
    script:
        f"{HOME}/workflow_scripts/evaluation/localise.py"


rule location_prior:
    """Scores the control without a model: where a finding or class usually is."""
    input:
        grounding=f"{DATA}/grounding.csv",
    output:
        scores=f"{EVALUATION}/{LOCATION_PRIOR}/localisation.csv",
    log:
        f"{LOGS}/evaluation/{{dataset}}/location_prior.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{{dataset}}/location_prior.tsv"
    priority: 20  # boxes that have no prior stop the run before long work
    resources:
        **LIGHT_JOB,
    params:
        **LOCALISATION,
        texts=lambda wildcards: SETS[wildcards.dataset].texts,
        map_size=MAP_SIZE,
        code=code_digest("evaluation/location_prior.py"),
    script:
        "../workflow_scripts/evaluation/location_prior.py"


rule external_method:
    """Scores another method's heat maps in the same way as our own."""
    input:
        grounding=f"{CXR}/grounding.csv",
        heat_maps=lambda wildcards: CONFIG.external[wildcards.method],
    output:
        scores=f"{RUN}/evaluation/cxr/{{method}}/localisation.csv",
    log:
        f"{LOGS}/evaluation/cxr/{{method}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/cxr/{{method}}.tsv"
    resources:
        **LIGHT_JOB,
    params:
        **LOCALISATION,
        texts=SETS["cxr"].texts,
        code=code_digest("evaluation/score_external.py"),
    script:
        "../workflow_scripts/evaluation/score_external.py"


rule localisation_summary:
    """Averages one variant's scores over findings, samples and seeds, with bootstrap intervals; the location prior's over
    the samples for which the variants have scores."""
    input:
        scores=lambda wildcards: scores_over_seeds(wildcards.dataset, wildcards.variant),
        models=beside_the_prior,
    output:
        summary=SUMMARY,
    log:
        f"{LOGS}/evaluation/{{dataset}}/{{variant}}/localisation_summary.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{{dataset}}/{{variant}}/localisation_summary.tsv"
    localrule: True
    resources:
        **LIGHT_JOB,
    params:
        draws=CONFIG.evaluation.bootstrap,
        code=code_digest("evaluation/summarise_localisation.py"),
    script:
        "../workflow_scripts/evaluation/summarise_localisation.py"


rule differences:
    """Computes the paired differences between a frozen variant and its learnable counterpart."""
    input:
        frozen=lambda wildcards: scores_over_seeds(wildcards.dataset, wildcards.frozen),
        learnable=lambda wildcards: scores_over_seeds(wildcards.dataset, wildcards.learnable),
    output:
        differences=DIFFERENCES,
    log:
        f"{LOGS}/evaluation/{{dataset}}/differences/{{frozen}}-{{learnable}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{{dataset}}/differences/{{frozen}}-{{learnable}}.tsv"
    localrule: True
    resources:
        **LIGHT_JOB,
    params:
        draws=CONFIG.evaluation.bootstrap,
        permutations=CONFIG.evaluation.permutations,
        code=code_digest("evaluation/compare_variants.py"),
    script:
        "../workflow_scripts/evaluation/compare_variants.py"


rule classifier:
    """Trains the findings classifier, for domain features and label consistency."""
    input:
        images=f"{CXR}/images.csv",
    output:
        classifier=directory(f"{RUN}/evaluation/cxr/classifier"),
        metrics=f"{RUN}/evaluation/cxr/classifier_metrics.csv",
        counts=f"{RUN}/evaluation/cxr/classifier_counts.csv",
    log:
        f"{LOGS}/evaluation/cxr/classifier.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/cxr/classifier.tsv"
    threads: THREADS
    resources:
        **MODEL_JOB,
    params:
        **CONFIG.classifier.model_dump(),
        resolution=CONFIG.image.resolution,
        seed=0,
        code=code_digest("evaluation/train_classifier.py"),
    script:
        "../workflow_scripts/evaluation/train_classifier.py"


rule real_features:
    """Extracts the features of the real images that samples are compared with."""
    input:
        **NETWORKS,
        images=f"{DATA}/images.csv",
        prompts=f"{DATA}/prompts.csv" if CONFIG.evaluation.reference == "prompts" else [],
    output:
        features=f"{EVALUATION}/real_features.npz",
    log:
        f"{LOGS}/evaluation/{{dataset}}/real_features.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{{dataset}}/real_features.tsv"
    threads: THREADS
    resources:
        **MODEL_JOB,
    params:
        split=lambda wildcards: SETS[wildcards.dataset].population,
        n=CONFIG.evaluation.real_images,
        seed=0,
        resolution=CONFIG.image.resolution,
        batch_size=CONFIG.evaluation.batch_size,
        extractors=lambda wildcards: CONFIG.extractors_of(wildcards.dataset),
        code=code_digest("evaluation/real_features.py"),
    script:
        "../workflow_scripts/evaluation/real_features.py"


rule real_images_fidelity:
    """Scores one half of the real images against the other: the ceiling of each fidelity score."""
    input:
        real=rules.real_features.output.features,
        domain=domain_extractor,
    output:
        scores=f"{EVALUATION}/{REAL_IMAGES}/fidelity.csv",
    log:
        f"{LOGS}/evaluation/{{dataset}}/real_images_fidelity.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{{dataset}}/real_images_fidelity.tsv"
    resources:
        **LIGHT_JOB,
    params:
        kid=KID,
        seed=0,
        extractors=lambda wildcards: CONFIG.extractors_of(wildcards.dataset),
        code=code_digest("evaluation/real_images_fidelity.py"),
    script:
        "../workflow_scripts/evaluation/real_images_fidelity.py"


rule fidelity:
    """Scores the samples of one model: FID, KID and the like, MS-SSIM, label consistency, also by finding."""
    input:
        **NETWORKS,
        samples=lambda wildcards: sample_shards(wildcards, "samples.csv"),
        images=lambda wildcards: sample_shards(wildcards, "images"),
        real=rules.real_features.output.features,
    output:
        scores=f"{SCORES}/fidelity.csv",
    log:
        f"{LOGS}/evaluation/{CHECKPOINT}/fidelity.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{CHECKPOINT}/fidelity.tsv"
    threads: THREADS
    resources:
        **MODEL_JOB,
    params:
        kid=KID,
        step=step_of,
        resolution=CONFIG.image.resolution,
        batch_size=CONFIG.evaluation.batch_size,
        seed=0,
        extractors=lambda wildcards: CONFIG.extractors_of(wildcards.dataset),
        code=code_digest("evaluation/score_fidelity.py"),
    script:
        f"{HOME}/workflow_scripts/evaluation/score_fidelity.py"


use rule fidelity as external_samples with:
    """Scores images that were made elsewhere in the same way as a model's samples."""
    input:
        **NETWORKS,
        samples=lambda wildcards: CONFIG.external_samples[wildcards.variant],
        real=rules.real_features.output.features,
    output:
        scores=f"{EVALUATION}/{{variant}}/fidelity.csv",
    log:
        f"{LOGS}/evaluation/{{dataset}}/{{variant}}/fidelity.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{{dataset}}/{{variant}}/fidelity.tsv"
    wildcard_constraints:
        variant="|".join(CONFIG.external_samples) or "there are no external samples",
    params:
        step=None,
