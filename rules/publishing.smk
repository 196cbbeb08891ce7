# Models as folders to hand on.
rule published:
    """Every fine-tuned model as a diffusers folder with a model card, in results/<run>/published."""
    input:
        paths(f"{RUN}/published/{REPEAT}", FINE_TUNED),


rule model_card:
    """One fine-tuned model as a diffusers folder with its card: data, text, seed, scores, controls, licences."""
    input:
        model=rules.finetune.output.model,
        counts=rules.finetune.output.counts,
        summaries=[SUMMARY, SUMMARY.format(dataset="{dataset}", variant=LOCATION_PRIOR)],
        fidelity=[f"{RUN}/evaluation/{REPEAT}/final/fidelity.csv", f"{EVALUATION}/{REAL_IMAGES}/fidelity.csv"],
    output:
        folder=directory(f"{RUN}/published/{REPEAT}"),
    log:
        f"{LOGS}/paper/published/{REPEAT}.log",
    benchmark:
        f"{BENCHMARKS}/paper/published/{REPEAT}.tsv"
    localrule: True
    resources:
        **LIGHT_JOB,
    params:
        code=code_digest("paper/model_card.py"),
    script:
        "../workflow_scripts/paper/model_card.py"
