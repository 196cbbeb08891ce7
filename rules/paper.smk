# Tables, figures, report.
MAIN = {dataset: CONFIG.main_variants_of(dataset) for dataset in DATASETS}
ALL = {dataset: CONFIG.variants_of(dataset) for dataset in DATASETS}
CXR_MAIN, CXR_ALL, COCO_MAIN = only("cxr", MAIN), only("cxr", ALL), only("coco", MAIN)
PRIORS = [{"dataset": dataset, "variant": LOCATION_PRIOR} for dataset in DATASETS]
FINE_TUNED = [label for label in repeats(ALL) if CONFIG.has_training(label["variant"])]
EXTERNAL = external_of("cxr")
COUNTS = [f"{RUN}/data/{dataset}/{table}_counts.csv" for dataset in DATASETS for table in ("images", "grounding")]
PROMPT_COUNTS = [f"{RUN}/data/{dataset}/prompts_counts.csv" for dataset in DATASETS]


# On a cluster these run beside snakemake itself: each takes seconds. (`overlays` reads all heat maps.)
localrules:
    table1,
    category_table,
    table2,
    table3,
    table7,
    differences_table,
    tradeoff,
    training_curves,
    findings,
    differences_figure,
    samples_figure,
    attention_profile_figure,
    losses,
    data_sheet,
    report,


rule table1:
    """Table 1, the trade-off: fidelity beside localisation, for each data set and variant."""
    input:
        summaries=paths(SUMMARY, summaries(MAIN)),
        fidelity=paths(f"{SCORES}/fidelity.csv", repeats(MAIN)),
        counts=COUNTS + PROMPT_COUNTS,
    output:
        **table_files("table1"),
    log:
        f"{LOGS}/paper/table1.log",
    benchmark:
        f"{BENCHMARKS}/paper/table1.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        table="table1",
        title=f"Table 1. Fidelity against localisation. {NOTE}".strip(),
        arguments={"variants": entries(MAIN), "extractors": EXTRACTORS["cxr"]},
        datasets=TABLE_TITLES,
        protocol=CONFIG.evaluation.protocol,
        config=CONFIG.dump(),
        seeds={name: CONFIG.seeds_of(name) for name in CONFIG.variants},
        code=code_digest("paper/table.py"),
    script:
        "../workflow_scripts/paper/table.py"


# The other tables are made in the same way; of the params they inherit those that they do not name.


use rule table1 as category_table with:
    """Localisation for each category of MS-COCO, beside Table 1."""
    input:
        summaries=paths(SUMMARY, summaries(COCO_MAIN)),
        counts=COUNTS,
    output:
        **table_files("table1_coco_categories"),
    log:
        f"{LOGS}/paper/category_table.log",
    benchmark:
        f"{BENCHMARKS}/paper/category_table.tsv"
    params:
        table="grounding_table",
        title=f"Table 1 by class. Localisation on MS-COCO. {NOTE}".strip(),
        arguments={"variants": entries(COCO_MAIN), "external": []},
        datasets=only("coco", TABLE_TITLES),


use rule table1 as table2 with:
    """Table 2, grounding for each finding and variant, with external methods."""
    input:
        summaries=paths(SUMMARY, summaries(CXR_MAIN) + EXTERNAL),
        counts=COUNTS,
    output:
        **table_files("table2"),
    log:
        f"{LOGS}/paper/table2.log",
    benchmark:
        f"{BENCHMARKS}/paper/table2.tsv"
    params:
        table="grounding_table",
        title=f"Table 2. Grounding for each finding. {NOTE}".strip(),
        arguments={"variants": entries(CXR_MAIN), "external": list(CONFIG.external)},
        datasets=only("cxr", TABLE_TITLES),


use rule table1 as table3 with:
    """Table 3, what the training text does: impressions, finding labels, language-model sentences."""
    input:
        summaries=paths(SUMMARY, summaries(CXR_ALL)),
        fidelity=paths(f"{SCORES}/fidelity.csv", repeats(CXR_ALL)),
        counts=COUNTS + PROMPT_COUNTS,
    output:
        **table_files("table3"),
    log:
        f"{LOGS}/paper/table3.log",
    benchmark:
        f"{BENCHMARKS}/paper/table3.tsv"
    params:
        table="table3",
        title=f"Table 3. What the training text does. {NOTE}".strip(),
        arguments={"variants": entries(CXR_ALL), "extractors": EXTRACTORS["cxr"]},
        datasets=only("cxr", TABLE_TITLES),


use rule table2 as table7 with:
    """Table 7, grounding with the impression as text, for all pairs and for those that name the finding."""
    output:
        **table_files("table7"),
    log:
        f"{LOGS}/paper/table7.log",
    benchmark:
        f"{BENCHMARKS}/paper/table7.tsv"
    params:
        table="table7",
        title=f"Table 7. Grounding with the impression as text. {NOTE}".strip(),


use rule table1 as differences_table with:
    """Differences between frozen and learnable variants with intervals and p values."""
    input:
        differences=paths(DIFFERENCES, pairs_of_variants()),
        counts=COUNTS,
    output:
        **table_files("differences"),
    log:
        f"{LOGS}/paper/differences_table.log",
    benchmark:
        f"{BENCHMARKS}/paper/differences_table.tsv"
    params:
        table="differences_table",
        title=f"Differences, frozen minus learnable. {NOTE}".strip(),
        arguments={},


rule tradeoff:
    """Figure: FID against AUC-ROC with seeds, intervals and the location prior."""
    input:
        summaries=paths(SUMMARY, summaries(MAIN)),
        localisation=paths(f"{SCORES}/localisation.csv", repeats(MAIN)),
        fidelity=paths(f"{SCORES}/fidelity.csv", repeats(MAIN)),
    output:
        pdf="results/figures/tradeoff.pdf",
        png=report("results/figures/tradeoff.png", caption="../report/tradeoff.rst", category="Figures"),
    log:
        f"{LOGS}/paper/tradeoff.log",
    benchmark:
        f"{BENCHMARKS}/paper/tradeoff.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        variants=list(CONFIG.variants),
        titles=TITLES,
        protocol=CONFIG.evaluation.protocol,
        note=NOTE,
        code=code_digest("paper/plot_tradeoff.py"),
    script:
        "../workflow_scripts/paper/plot_tradeoff.py"


rule training_curves:
    """Figure: AUC-ROC and FID over the steps of fine-tuning."""
    input:
        localisation=paths(f"{SCORES}/localisation.csv", checkpoints(MAIN)),
        fidelity=paths(f"{SCORES}/fidelity.csv", checkpoints(MAIN)),
        location_prior=paths(SUMMARY, PRIORS),
    output:
        pdf="results/figures/training_curves.pdf",
        png=report("results/figures/training_curves.png", caption="../report/training_curves.rst", category="Figures"),
    log:
        f"{LOGS}/paper/training_curves.log",
    benchmark:
        f"{BENCHMARKS}/paper/training_curves.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        variants=list(CONFIG.variants),
        titles=TITLES,
        protocol=CONFIG.evaluation.protocol,
        note=NOTE,
        code=code_digest("paper/plot_training_curves.py"),
    script:
        "../workflow_scripts/paper/plot_training_curves.py"


rule findings:
    """Figure: AUC-ROC and specificity for each finding or class and variant."""
    input:
        summaries=lambda wildcards: paths(SUMMARY, summaries(main_of(wildcards)) + external_of(wildcards.dataset)),
    output:
        pdf="results/figures/findings_{dataset}.pdf",
        png=report("results/figures/findings_{dataset}.png", caption="../report/findings.rst", category="Figures"),
    log:
        f"{LOGS}/paper/findings_{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/paper/findings_{{dataset}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        variants=[*CONFIG.variants, *CONFIG.external],
        title=lambda wildcards: TITLES[wildcards.dataset],
        protocol=CONFIG.evaluation.protocol,
        note=NOTE,
        code=code_digest("paper/plot_findings.py"),
    script:
        "../workflow_scripts/paper/plot_findings.py"


rule differences_figure:
    """Figure: differences between frozen and learnable variants with intervals."""
    input:
        differences=paths(DIFFERENCES, pairs_of_variants()),
    output:
        pdf="results/figures/differences.pdf",
        png=report("results/figures/differences.png", caption="../report/differences.rst", category="Figures"),
    log:
        f"{LOGS}/paper/differences.log",
    benchmark:
        f"{BENCHMARKS}/paper/differences.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        variants=list(CONFIG.variants),
        titles=TITLES,
        protocol=CONFIG.evaluation.protocol,
        note=NOTE,
        code=code_digest("paper/plot_differences.py"),
    script:
        "../workflow_scripts/paper/plot_differences.py"


rule overlays:
    """Figure: heat maps over test images, for each finding or class and variant."""
    input:
        grounding=f"{DATA}/grounding.csv",
        heat_maps=lambda wildcards: paths(f"{HEAT_MAPS}/heat_maps_{{shard}}.npz", heat_maps_shown(wildcards)),
    output:
        pdf="results/figures/overlays_{dataset}.pdf",
        png=report("results/figures/overlays_{dataset}.png", caption="../report/overlays.rst", category="Figures"),
    log:
        f"{LOGS}/paper/overlays_{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/paper/overlays_{{dataset}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        variants=lambda wildcards: MAIN[wildcards.dataset],
        text=lambda wildcards: TEXTS[wildcards.dataset][0],
        protocol=CONFIG.evaluation.protocol,
        resolution=CONFIG.image.resolution,
        note=lambda wildcards: IMAGE_NOTES[wildcards.dataset],
        code=code_digest("paper/plot_overlays.py"),
    script:
        "../workflow_scripts/paper/plot_overlays.py"


rule samples_figure:
    """Figure: samples of each variant beside real images."""
    input:
        images=f"{DATA}/images.csv",
        samples=lambda wildcards: paths(f"{SAMPLES}/samples.csv", samples_shown(wildcards)),
    output:
        pdf="results/figures/samples_{dataset}.pdf",
        png=report("results/figures/samples_{dataset}.png", caption="../report/samples.rst", category="Figures"),
    log:
        f"{LOGS}/paper/samples_{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/paper/samples_{{dataset}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        variants=lambda wildcards: ALL[wildcards.dataset],
        split=lambda wildcards: POPULATION[wildcards.dataset],
        resolution=CONFIG.image.resolution,
        note=lambda wildcards: IMAGE_NOTES[wildcards.dataset],
        code=code_digest("paper/plot_samples.py"),
    script:
        "../workflow_scripts/paper/plot_samples.py"


rule attention_profile_figure:
    """Figure: where the signal sits, by cross-attention layer and diffusion time."""
    input:
        profiles=lambda wildcards: paths(f"{HEAT_MAPS}/attention_profile.csv", first_repeats(main_of(wildcards))),
    output:
        pdf="results/figures/attention_profile_{dataset}.pdf",
        png=report(
            "results/figures/attention_profile_{dataset}.png",
            caption="../report/attention_profile.rst",
            category="Figures",
        ),
    log:
        f"{LOGS}/paper/attention_profile_{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/paper/attention_profile_{{dataset}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        variants=list(CONFIG.variants),
        title=lambda wildcards: TITLES[wildcards.dataset],
        note=NOTE,
        code=code_digest("paper/plot_attention_profile.py"),
    script:
        "../workflow_scripts/paper/plot_attention_profile.py"


rule losses:
    """Figure: loss curves of every fine-tuning."""
    input:
        losses=paths(f"{MODEL}/losses.csv", FINE_TUNED),
    output:
        pdf="results/figures/losses.pdf",
        png=report("results/figures/losses.png", caption="../report/losses.rst", category="Figures"),
    log:
        f"{LOGS}/paper/losses.log",
    benchmark:
        f"{BENCHMARKS}/paper/losses.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        variants=list(CONFIG.variants),
        titles=TITLES,
        note=NOTE,
        code=code_digest("paper/plot_losses.py"),
    script:
        "../workflow_scripts/paper/plot_losses.py"


rule data_sheet:
    """Figure: sheet of the data, test images with texts and outlines."""
    input:
        grounding=f"{DATA}/grounding.csv",
    output:
        pdf="results/figures/data_{dataset}.pdf",
        png=report("results/figures/data_{dataset}.png", caption="../report/data.rst", category="Figures"),
    log:
        f"{LOGS}/paper/data_{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/paper/data_{{dataset}}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        text=lambda wildcards: TEXTS[wildcards.dataset][0],
        rows=lambda wildcards: {"cxr": 8, "coco": 5}[wildcards.dataset],
        resolution=CONFIG.image.resolution,
        note=lambda wildcards: IMAGE_NOTES[wildcards.dataset],
        code=code_digest("paper/plot_data.py"),
    script:
        "../workflow_scripts/paper/plot_data.py"


TABLES = ["table1"] + (["table2", "table3", "table7"] if "cxr" in DATASETS else [])
TABLES += ["table1_coco_categories"] if "coco" in DATASETS else []
TABLES += ["differences"]
FIGURES = ["tradeoff", "training_curves"]
FIGURES += ["differences"] if pairs_of_variants() else []
FIGURES += ["losses"] if FINE_TUNED else []
FIGURES += [
    f"{figure}_{dataset}"
    for figure in ("overlays", "samples", "findings", "attention_profile", "data")
    for dataset in DATASETS
]


rule figures:
    """Every figure, as PDF and PNG in results/figures."""
    input:
        expand("results/figures/{figure}.{format}", figure=FIGURES, format=["pdf", "png"]),


rule report:
    """The report: the finding, every table and figure and how they were made, in one HTML file."""
    input:
        tables=expand("results/{table}.md", table=TABLES),
        figures=expand("results/figures/{figure}.png", figure=FIGURES),
        captions=sorted({f"report/{name.removesuffix('_cxr').removesuffix('_coco')}.rst" for name in TABLES + FIGURES}),
        summaries=paths(SUMMARY, summaries(MAIN)),
        fidelity=paths(f"{SCORES}/fidelity.csv", repeats(MAIN)),
        differences=paths(DIFFERENCES, pairs_of_variants()),
        scores=paths(f"{SCORES}/localisation.csv", repeats(ALL))
        + paths(f"{EVALUATION}/{{variant}}/localisation.csv", PRIORS),
        counts=COUNTS + PROMPT_COUNTS + paths(f"{MODEL}/training_counts.csv", FINE_TUNED),
        sidecar="results/table1.json",
    output:
        html=report("results/report.html", caption="../report/report.rst", category="Report"),
    log:
        f"{LOGS}/paper/report.log",
    benchmark:
        f"{BENCHMARKS}/paper/report.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        benchmarks=BENCHMARKS,
        demo=DEMO,
        datasets=TITLES,
        template=sha256(Path(workflow.basedir, "tradeoffs/paper/report.html.j2")),
        code=code_digest("paper/report.py"),
    script:
        "../workflow_scripts/paper/report.py"
