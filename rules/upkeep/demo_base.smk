# The demo's base model and its findings classifier, for those who want to make them anew: snakemake --cores 2 demo_base
# The chosen one ships in resources/demo_base; to use another, set base.source to its folder.
import yaml

CANDIDATES = f"{RESULTS}/demo_base"
CANDIDATE = f"{CANDIDATES}/seed{{seed}}"
BASE = yaml.safe_load(Path(workflow.current_basedir, "demo_base.yaml").read_text())
BASE_SEEDS = BASE["unet"]["seeds"]
CANDIDATE_TRAINING = {key: value for key, value in CONFIG.training_of("cxr").items() if key not in ONLOOKERS}
# a fine-tuning on selection phantoms and how its heat maps are made
SELECTION = {
    "selection": BASE["selection"],
    "resolution": CONFIG.image.resolution,
    "training": CANDIDATE_TRAINING,
    "heat_maps": CONFIG.heat_maps.model_dump(exclude={"shards", "profile_samples"}),
}


rule demo_base_pictures:
    """Draws the captioned pictures that the base sees, and trains its tokenizer and autoencoder."""
    output:
        vae=directory(f"{CANDIDATES}/vae"),
        tokenizer=directory(f"{CANDIDATES}/tokenizer"),
        latents=f"{CANDIDATES}/latents.safetensors",
        captions=f"{CANDIDATES}/captions.csv",
    log:
        f"{ALL_LOGS}/demo_base/pictures.log",
    benchmark:
        f"{CANDIDATES}/benchmarks/pictures.tsv"
    resources:
        mem_mb=growing(10000),
        runtime=growing(120),
    params:
        pictures=BASE["pictures"],
        autoencoder=BASE["autoencoder"],
        seed=0,
        code=code_digest("upkeep/demo_base_pictures.py"),
    script:
        "../../workflow_scripts/upkeep/demo_base_pictures.py"


rule demo_base_text_encoder:
    """Trains the base's text encoder contrastively on the captioned pictures."""
    input:
        tokenizer=rules.demo_base_pictures.output.tokenizer,
        latents=rules.demo_base_pictures.output.latents,
        captions=rules.demo_base_pictures.output.captions,
    output:
        text_encoder=directory(f"{CANDIDATES}/text_encoder"),
        accuracy=f"{CANDIDATES}/text_encoder.json",
    log:
        f"{ALL_LOGS}/demo_base/text_encoder.log",
    benchmark:
        f"{CANDIDATES}/benchmarks/text_encoder.tsv"
    resources:
        **LIGHT_JOB,
    params:
        training=BASE["text_encoder"],
        seed=0,
        code=code_digest("upkeep/demo_base_text_encoder.py"),
    script:
        "../../workflow_scripts/upkeep/demo_base_text_encoder.py"


rule demo_base_candidate:
    """Trains one candidate for the base: a U-Net with its own seed. If stopped, it resumes from its checkpoint."""
    input:
        **dict(rules.demo_base_pictures.output.items()),
        text_encoder=rules.demo_base_text_encoder.output.text_encoder,
    output:
        base=directory(f"{CANDIDATE}/base"),
        milestones=directory(f"{CANDIDATE}/milestones"),
        losses=f"{CANDIDATE}/losses.csv",
    log:
        f"{ALL_LOGS}/demo_base/seed{{seed}}.log",
    benchmark:
        f"{CANDIDATES}/benchmarks/seed{{seed}}.tsv"
    resources:
        mem_mb=growing(4000),
        runtime=growing(300),
    params:
        training=BASE["unet"]["training"],
        checkpoints=f"{CANDIDATE}/checkpoint",
        code=code_digest("upkeep/demo_base_candidate.py"),
    script:
        "../../workflow_scripts/upkeep/demo_base_candidate.py"


rule demo_base_learning_curve:
    """How a candidate came to use its text: loss, text use, heat maps and samples at its milestones."""
    input:
        base=rules.demo_base_candidate.output.base,
        milestones=rules.demo_base_candidate.output.milestones,
    output:
        curve=f"{CANDIDATE}/learning_curve.csv",
        samples=f"{CANDIDATE}/samples.png",
    log:
        f"{ALL_LOGS}/demo_base/seed{{seed}}_learning_curve.log",
    benchmark:
        f"{CANDIDATES}/benchmarks/seed{{seed}}_learning_curve.tsv"
    resources:
        **LIGHT_JOB,
    params:
        **BASE["learning_curve"],
        steps=BASE["unet"]["training"]["steps"],
        code=code_digest("upkeep/demo_base_learning_curve.py"),
    script:
        "../../workflow_scripts/upkeep/demo_base_learning_curve.py"


rule demo_base_scores:
    """Fine-tunes a candidate on selection phantoms and scores its heat maps."""
    input:
        base=rules.demo_base_candidate.output.base,
    output:
        scores=f"{CANDIDATE}/scores.csv",
    log:
        f"{ALL_LOGS}/demo_base/seed{{seed}}_scores.log",
    benchmark:
        f"{CANDIDATES}/benchmarks/seed{{seed}}_scores.tsv"
    resources:
        **LIGHT_JOB,
    params:
        **SELECTION,
        code=code_digest("upkeep/demo_base_scores.py"),
    script:
        "../../workflow_scripts/upkeep/demo_base_scores.py"


rule demo_base_classifier:
    """Trains the findings classifier that ships with the base, on phantoms with a seed of their own."""
    output:
        classifier=directory(f"{CANDIDATES}/classifier"),
    log:
        f"{ALL_LOGS}/demo_base/classifier.log",
    benchmark:
        f"{CANDIDATES}/benchmarks/classifier.tsv"
    resources:
        **LIGHT_JOB,
    params:
        **BASE["classifier"],
        resolution=CONFIG.image.resolution,
        code=code_digest("upkeep/demo_base_classifier.py"),
    script:
        "../../workflow_scripts/upkeep/demo_base_classifier.py"


rule demo_base:
    """Makes the demo's base model anew and chooses the best candidate."""
    input:
        candidates=expand(rules.demo_base_candidate.output.base, seed=BASE_SEEDS),
        curves=expand(rules.demo_base_learning_curve.output.curve, seed=BASE_SEEDS),
        samples=expand(rules.demo_base_learning_curve.output.samples, seed=BASE_SEEDS),
        scores=expand(rules.demo_base_scores.output.scores, seed=BASE_SEEDS),
        text_encoder=rules.demo_base_text_encoder.output.accuracy,
        classifier=rules.demo_base_classifier.output.classifier,
    output:
        chosen=directory(f"{CANDIDATES}/chosen"),
    log:
        f"{ALL_LOGS}/demo_base/choose.log",
    benchmark:
        f"{CANDIDATES}/benchmarks/choose.tsv"
    resources:
        **LIGHT_JOB,
    params:
        making=BASE,
        fine_tuning=CANDIDATE_TRAINING,
        code=code_digest("upkeep/demo_base.py"),
    script:
        "../../workflow_scripts/upkeep/demo_base.py"


# How localisation and fidelity move with the length of fine-tuning and the text encoder's rate, on selection phantoms
# only: the demo's rates were chosen here. Writes docs/text_encoder_rates.png and .csv.
RATES = ["frozen", *map(str, BASE["text_encoder_rates"]["rates"])]


rule text_encoder_rate:
    """Scores intermediate checkpoints of a fine-tuning of the demo's base, with the text encoder frozen or at one rate."""
    input:
        base=CONFIG.base.source,
        classifier=f"{CONFIG.base.source}/classifier",
    output:
        scores=f"{CANDIDATES}/rates/{{rate}}.csv",
    log:
        f"{ALL_LOGS}/demo_base/rates/{{rate}}.log",
    benchmark:
        f"{CANDIDATES}/benchmarks/rates/{{rate}}.tsv"
    resources:
        **LIGHT_JOB,
    params:
        **SELECTION,
        milestones=BASE["text_encoder_rates"]["milestones"],
        images=BASE["text_encoder_rates"]["images"],
        sampling=SAMPLING,
        code=code_digest("upkeep/text_encoder_rate.py"),
    script:
        "../../workflow_scripts/upkeep/text_encoder_rate.py"


rule text_encoder_rates:
    """Figure: localisation and fidelity against training length and the text encoder's learning rate."""
    input:
        scores=expand(rules.text_encoder_rate.output.scores, rate=RATES),
    output:
        table="docs/text_encoder_rates.csv",
        figure="docs/text_encoder_rates.png",
    log:
        f"{ALL_LOGS}/demo_base/text_encoder_rates.log",
    benchmark:
        f"{CANDIDATES}/benchmarks/text_encoder_rates.tsv"
    resources:
        **LIGHT_JOB,
    params:
        code=code_digest("upkeep/text_encoder_rates.py"),
    script:
        "../../workflow_scripts/upkeep/text_encoder_rates.py"
