# Scores: localisation with its controls, fidelity.
rule localise:
    input:
        grounding=f"{RUN}/data/{{dataset}}/grounding.csv",
        phrase=heat_map_shards("phrase"),
        impression=heat_map_shards("impression"),
    output:
        scores=f"{EVALUATION}/{{variant}}/seed{{seed}}/localisation.csv",
    log:
        f"{LOGS}/evaluation/{{dataset}}/{{variant}}/seed{{seed}}/localisation.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{{dataset}}/{{variant}}/seed{{seed}}/localisation.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        texts=TEXTS,
        protocols=["corrected", "published"],
        resolution=CONFIG.image.resolution,
        max_excluded=CONFIG.evaluation.max_excluded,
        code=code_digest("localise.py"),
    script:
        "../workflow_scripts/localise.py"


rule location_prior:
    input:
        grounding=f"{RUN}/data/{{dataset}}/grounding.csv",
    output:
        scores=f"{EVALUATION}/location_prior/localisation.csv",
    log:
        f"{LOGS}/evaluation/{{dataset}}/location_prior.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{{dataset}}/location_prior.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        texts=TEXTS,
        protocols=["corrected", "published"],
        resolution=CONFIG.image.resolution,
        map_size=MAP_SIZE,
        max_excluded=CONFIG.evaluation.max_excluded,
        code=code_digest("location_prior.py"),
    script:
        "../workflow_scripts/location_prior.py"


rule classifier:
    input:
        images=f"{RUN}/data/{{dataset}}/images.csv",
    output:
        classifier=directory(f"{EVALUATION}/classifier"),
        metrics=f"{EVALUATION}/classifier_metrics.csv",
        counts=f"{EVALUATION}/classifier_counts.csv",
    log:
        f"{LOGS}/evaluation/{{dataset}}/classifier.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{{dataset}}/classifier.tsv"
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=CONFIG.resources.gpus,
        mem_mb=memory,
        runtime=runtime,
    params:
        resolution=CONFIG.image.resolution,
        epochs=CONFIG.classifier.epochs,
        batch_size=CONFIG.classifier.batch_size,
        learning_rate=CONFIG.classifier.learning_rate,
        seed=0,
        code=code_digest("train_classifier.py"),
    script:
        "../workflow_scripts/train_classifier.py"


rule real_features:
    input:
        images=f"{RUN}/data/{{dataset}}/images.csv",
        classifier=rules.classifier.output.classifier,
    output:
        features=f"{EVALUATION}/real_features.npz",
    log:
        f"{LOGS}/evaluation/{{dataset}}/real_features.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{{dataset}}/real_features.tsv"
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=CONFIG.resources.gpus,
        mem_mb=memory,
        runtime=runtime,
    params:
        split="p19",
        n=CONFIG.evaluation.real_images,
        seed=0,
        resolution=CONFIG.image.resolution,
        batch_size=CONFIG.evaluation.batch_size,
        extractors=EXTRACTORS,
        code=code_digest("real_features.py"),
    script:
        "../workflow_scripts/real_features.py"


rule fidelity:
    input:
        samples=rules.samples.output.samples,
        images=rules.samples.output.images,
        real=rules.real_features.output.features,
        classifier=rules.classifier.output.classifier,
    output:
        scores=f"{EVALUATION}/{{variant}}/seed{{seed}}/fidelity.csv",
    log:
        f"{LOGS}/evaluation/{{dataset}}/{{variant}}/seed{{seed}}/fidelity.log",
    benchmark:
        f"{BENCHMARKS}/evaluation/{{dataset}}/{{variant}}/seed{{seed}}/fidelity.tsv"
    conda:
        ENVIRONMENT
    threads: THREADS
    resources:
        gpu=CONFIG.resources.gpus,
        mem_mb=memory,
        runtime=runtime,
    params:
        resolution=CONFIG.image.resolution,
        batch_size=CONFIG.evaluation.batch_size,
        kid_subset_size=CONFIG.evaluation.kid_subset,
        kid_subsets=100,
        seed=0,
        extractors=EXTRACTORS,
        code=code_digest("score_fidelity.py"),
    script:
        "../workflow_scripts/score_fidelity.py"
