# Tables, figures, report. On a cluster all but `overlays`, which reads all heat maps, run beside snakemake itself
# (localrule), since each takes seconds.
MAIN = {dataset: CONFIG.main_variants_of(dataset) for dataset in DATASETS}
ALL = {dataset: CONFIG.variants_of(dataset) for dataset in DATASETS}
CXR_MAIN, CXR_ALL, COCO_MAIN = only("cxr", MAIN), only("cxr", ALL), only("coco", MAIN)
PRIORS = [{"dataset": dataset, "variant": LOCATION_PRIOR} for dataset in DATASETS]
# of further sets of boxes, which have tables and figures of localisation, but no samples
FURTHER = {name: CONFIG.main_variants_of(name) for name in CONFIG.grounding}
LOCALISED_MAIN = MAIN | FURTHER
ALL_TITLES = TITLES | SET_TITLES
FIRST_MAIN = {dataset: first_repeats(CONFIG, {dataset: names}) for dataset, names in LOCALISED_MAIN.items()}
FIRST_ALL = {dataset: first_repeats(CONFIG, {dataset: names}) for dataset, names in ALL.items()}
PAIRS, FINE_TUNED = pairs(CONFIG, DATASETS), fine_tunings(CONFIG, ALL)
TABLES, FIGURES = tables_of(CONFIG), figures_of(CONFIG)
COUNTS = counts(DATASETS)
SET_COUNTS = [f"{RUN}/data/{name}/grounding_counts.csv" for name in FURTHER]
PROMPT_COUNTS = paths(f"{DATA}/prompts_counts.csv", [{"dataset": dataset} for dataset in DATASETS])
CHART = {"variants": list(CONFIG.variants), "titles": TITLES, "note": NOTE}
OF_PROTOCOL = {"protocol": CONFIG.evaluation.protocol}
COMPARED = {  # with what samples are compared
    "extractors": CONFIG.extractors_of("cxr"),
    "reference": CONFIG.evaluation.reference,
    "external_samples": list(CONFIG.external_samples),
}


rule table1:
    """Table 1, the trade-off: fidelity and localisation for each data set and variant."""
    input:
        summaries=summaries(MAIN),
        fidelity=paths(f"{SCORES}/fidelity.csv", repeats(CONFIG, MAIN)) + without_a_model(MAIN),
        faithfulness=paths(
            f"{HEAT_MAPS}/faithfulness.csv", [one for dataset in DATASETS for one in FIRST_MAIN[dataset]]
        ),
        counts=COUNTS + PROMPT_COUNTS,
    output:
        **table_files("table1"),
    log:
        f"{LOGS}/paper/table1.log",
    benchmark:
        f"{BENCHMARKS}/paper/table1.tsv"
    localrule: True
    resources:
        **LIGHT_JOB,
    params:
        table="table1",
        title=f"Table 1. Fidelity against localisation. {NOTE}".strip(),
        arguments={"variants": entries(CONFIG, MAIN), "compared": COMPARED, "draws": CONFIG.evaluation.bootstrap}
        | OF_PROTOCOL,
        datasets=TABLE_TITLES,
        scope=scope_notes(CONFIG),
        code=code_digest("paper/table.py"),
    script:
        "../workflow_scripts/paper/table.py"


# The other tables are made in the same way; of the params they inherit those that they do not name.


use rule table1 as category_table with:
    """Localisation for each category of MS-COCO, beside Table 1."""
    input:
        summaries=summaries(COCO_MAIN),
        counts=counts(["coco"]),
    output:
        **table_files("table1_coco_categories"),
    log:
        f"{LOGS}/paper/category_table.log",
    benchmark:
        f"{BENCHMARKS}/paper/category_table.tsv"
    localrule: True
    params:
        table="grounding_table",
        title=f"Table 1 by class. Localisation on MS-COCO. {NOTE}".strip(),
        arguments={"variants": entries(CONFIG, COCO_MAIN), "external": []} | OF_PROTOCOL,
        datasets=only("coco", TABLE_TITLES),


use rule table1 as findings_table with:
    """Fidelity for each finding of the radiographs, beside Table 1."""
    input:
        fidelity=paths(f"{SCORES}/fidelity.csv", repeats(CONFIG, CXR_MAIN)) + without_a_model(CXR_MAIN),
        counts=counts(["cxr"]) + [f"{CXR}/prompts_counts.csv"],
    output:
        **table_files("table1_cxr_findings"),
    log:
        f"{LOGS}/paper/findings_table.log",
    benchmark:
        f"{BENCHMARKS}/paper/findings_table.tsv"
    localrule: True
    params:
        table="findings_table",
        title=f"Table 1 by finding. Fidelity on radiographs. {NOTE}".strip(),
        arguments={"variants": entries(CONFIG, CXR_MAIN), "compared": COMPARED},
        datasets=only("cxr", TABLE_TITLES),


use rule table1 as table2 with:
    """Table 2: localisation for each finding and variant, with the phrase as text, and of external methods."""
    input:
        summaries=summaries(CXR_MAIN, external=True),
        counts=counts(["cxr"]),
    output:
        **table_files("table2"),
    log:
        f"{LOGS}/paper/table2.log",
    benchmark:
        f"{BENCHMARKS}/paper/table2.tsv"
    localrule: True
    params:
        table="grounding_table",
        title=f"Table 2. Grounding for each finding. {NOTE}".strip(),
        arguments={"variants": entries(CONFIG, CXR_MAIN), "external": list(CONFIG.external)} | OF_PROTOCOL,
        datasets=only("cxr", TABLE_TITLES),


use rule table1 as table3 with:
    """Table 3: the effect of the training text (impressions, finding labels, language-model sentences)."""
    input:
        summaries=summaries(CXR_ALL),
        fidelity=paths(f"{SCORES}/fidelity.csv", repeats(CONFIG, CXR_ALL)) + without_a_model(CXR_ALL),
        counts=counts(["cxr"]) + [f"{CXR}/prompts_counts.csv"],
    output:
        **table_files("table3"),
    log:
        f"{LOGS}/paper/table3.log",
    benchmark:
        f"{BENCHMARKS}/paper/table3.tsv"
    localrule: True
    params:
        table="table3",
        title=f"Table 3. What the training text does. {NOTE}".strip(),
        arguments={"variants": entries(CONFIG, CXR_ALL), "compared": COMPARED} | OF_PROTOCOL,
        datasets=only("cxr", TABLE_TITLES),


use rule table3 as variants_table with:
    """Every variant on radiographs, with the original's further ways of conditioning (not part of all)."""
    output:
        **table_files("variants"),
    log:
        f"{LOGS}/paper/variants_table.log",
    benchmark:
        f"{BENCHMARKS}/paper/variants_table.tsv"
    localrule: True
    params:
        title=f"Variants. All ways of conditioning. {NOTE}".strip(),


use rule table2 as table7 with:
    """Table 7: localisation with the impression as text, for all pairs and for those whose text names the finding."""
    output:
        **table_files("table7"),
    log:
        f"{LOGS}/paper/table7.log",
    benchmark:
        f"{BENCHMARKS}/paper/table7.tsv"
    localrule: True
    params:
        table="table7",
        title=f"Table 7. Grounding with the impression as text. {NOTE}".strip(),


use rule table2 as grounding_sets_table with:
    """Localisation by the run's models on further sets of boxes."""
    input:
        summaries=summaries(FURTHER),
        counts=SET_COUNTS,
    output:
        **table_files("grounding_sets"),
    log:
        f"{LOGS}/paper/grounding_sets_table.log",
    benchmark:
        f"{BENCHMARKS}/paper/grounding_sets_table.tsv"
    localrule: True
    params:
        title="Localisation on further sets of boxes.",
        arguments={"variants": entries(CONFIG, FURTHER), "external": []} | OF_PROTOCOL,
        datasets=SET_TITLES,


use rule table1 as differences_table with:
    """Differences between frozen and learnable variants, with intervals and p values."""
    input:
        differences=paths(DIFFERENCES, pairs(CONFIG, LOCALISED_MAIN)),
        counts=COUNTS + SET_COUNTS,
    output:
        **table_files("differences"),
    log:
        f"{LOGS}/paper/differences_table.log",
    benchmark:
        f"{BENCHMARKS}/paper/differences_table.tsv"
    localrule: True
    params:
        table="differences_table",
        title=f"Differences, frozen minus learnable. {NOTE}".strip(),
        arguments=OF_PROTOCOL,
        datasets=TABLE_TITLES | SET_TITLES,


rule tradeoff:
    """Figure: FID against AUC-ROC with seeds, intervals and the location prior."""
    input:
        summaries=summaries(MAIN),
        localisation=paths(f"{SCORES}/localisation.csv", repeats(CONFIG, MAIN)),
        fidelity=paths(f"{SCORES}/fidelity.csv", repeats(CONFIG, MAIN)),
    output:
        **figure_files("tradeoff"),
    log:
        f"{LOGS}/paper/tradeoff.log",
    benchmark:
        f"{BENCHMARKS}/paper/tradeoff.tsv"
    localrule: True
    resources:
        **LIGHT_JOB,
    params:
        chart="tradeoff",
        arguments=CHART | OF_PROTOCOL,
        code=code_digest("paper/chart.py"),
    script:
        "../workflow_scripts/paper/chart.py"


# The other charts are made in the same way, and the other figures of images as the overlays.


use rule tradeoff as training_curves with:
    """Figure: AUC-ROC and FID over the steps of fine-tuning."""
    input:
        localisation=paths(f"{SCORES}/localisation.csv", checkpoints(CONFIG, MAIN)),
        fidelity=paths(f"{SCORES}/fidelity.csv", checkpoints(CONFIG, MAIN)),
        location_prior=paths(SUMMARY, PRIORS),
    output:
        **figure_files("training_curves"),
    log:
        f"{LOGS}/paper/training_curves.log",
    benchmark:
        f"{BENCHMARKS}/paper/training_curves.tsv"
    localrule: True
    params:
        chart="training_curves",


use rule tradeoff as findings with:
    """Figure: AUC-ROC and specificity for each finding or class and variant."""
    input:
        summaries=lambda wildcards: summaries(only(wildcards.dataset, LOCALISED_MAIN), external=True),
    output:
        **figure_files("findings_{dataset}"),
    log:
        f"{LOGS}/paper/findings_{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/paper/findings_{{dataset}}.tsv"
    localrule: True
    params:
        chart="findings",
        arguments=lambda wildcards: OF_PROTOCOL
        | {
            "variants": [*CONFIG.variants, *CONFIG.external],
            "titles": only(wildcards.dataset, ALL_TITLES),
            "note": NOTE,
        },


use rule tradeoff as differences_figure with:
    """Figure: differences between frozen and learnable variants, with intervals."""
    input:
        differences=paths(DIFFERENCES, PAIRS),
    output:
        **figure_files("differences"),
    log:
        f"{LOGS}/paper/differences.log",
    benchmark:
        f"{BENCHMARKS}/paper/differences.tsv"
    localrule: True
    params:
        chart="paired_differences",


use rule tradeoff as attention_profile_figure with:
    """Figure: where the signal sits, by cross-attention layer and diffusion time."""
    input:
        profiles=lambda wildcards: paths(f"{HEAT_MAPS}/attention_profile.csv", FIRST_MAIN[wildcards.dataset]),
    output:
        **figure_files("attention_profile_{dataset}"),
    log:
        f"{LOGS}/paper/attention_profile_{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/paper/attention_profile_{{dataset}}.tsv"
    localrule: True
    params:
        chart="attention_profile",
        arguments=lambda wildcards: CHART | {"titles": only(wildcards.dataset, TITLES)},


use rule tradeoff as losses with:
    """Figure: loss curves of every fine-tuning."""
    input:
        losses=paths(f"{MODEL}/losses.csv", FINE_TUNED),
        validation=paths(f"{MODEL}/validation_losses.csv", FINE_TUNED),
    output:
        **figure_files("losses"),
    log:
        f"{LOGS}/paper/losses.log",
    benchmark:
        f"{BENCHMARKS}/paper/losses.tsv"
    localrule: True
    params:
        chart="loss_curves",
        arguments=CHART,


rule overlays:
    """Figure: heat maps over test images, for each finding or class and variant."""
    input:
        grounding=f"{DATA}/grounding.csv",
        heat_maps=lambda wildcards: paths(
            f"{HEAT_MAPS}/heat_maps_{{shard}}.npz",
            FIRST_MAIN[wildcards.dataset],
            CONFIG.heat_maps.shards,
        ),
        scores=lambda wildcards: paths(f"{SCORES}/localisation.csv", FIRST_MAIN[wildcards.dataset]),
    output:
        **figure_files("overlays_{dataset}"),
    log:
        f"{LOGS}/paper/overlays_{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/paper/overlays_{{dataset}}.tsv"
    resources:
        **LIGHT_JOB,
    params:
        picture="overlays",
        arguments=lambda wildcards: of_pictures(wildcards)
        | OF_PROTOCOL
        | {"variants": LOCALISED_MAIN[wildcards.dataset], "text": SETS[wildcards.dataset].texts[0]},
        code=code_digest("paper/picture.py"),
    script:
        "../workflow_scripts/paper/picture.py"


use rule overlays as samples_figure with:
    """Figure: samples of each variant beside real images."""
    input:
        images=f"{DATA}/images.csv",
        samples=lambda wildcards: paths(f"{SAMPLES}/samples.csv", FIRST_ALL[wildcards.dataset], CONFIG.sampling.shards),
    output:
        **figure_files("samples_{dataset}"),
    log:
        f"{LOGS}/paper/samples_{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/paper/samples_{{dataset}}.tsv"
    localrule: True
    params:
        picture="sample_grid",
        arguments=lambda wildcards: of_pictures(wildcards)
        | {"variants": ALL[wildcards.dataset], "split": SETS[wildcards.dataset].population},


use rule overlays as data_sheet with:
    """Figure: test images with their texts and outlines."""
    input:
        grounding=f"{DATA}/grounding.csv",
    output:
        **figure_files("data_{dataset}"),
    log:
        f"{LOGS}/paper/data_{{dataset}}.log",
    benchmark:
        f"{BENCHMARKS}/paper/data_{{dataset}}.tsv"
    localrule: True
    params:
        picture="data_sheet",
        arguments=lambda wildcards: of_pictures(wildcards) | {"text": SETS[wildcards.dataset].texts[0], "most": 8},


rule figures:  # a target without a job, so without log and benchmark
    """Every figure, as PDF and PNG in results/figures."""
    input:
        expand(f"{RESULTS}/figures/{{figure}}.{{format}}", figure=FIGURES, format=["pdf", "png"]),


rule report:
    """The report: the conclusion, every table and figure and how they were made, in one HTML file."""
    input:
        tables=expand(f"{RESULTS}/{{table}}.json", table=TABLES),
        figures=expand(f"{RESULTS}/figures/{{figure}}.png", figure=FIGURES),
        captions=sorted({f"{SHIPPED}{caption_of(name, CONFIG)}" for name in TABLES + FIGURES}),
        summaries=summaries(MAIN),
        fidelity=paths(f"{SCORES}/fidelity.csv", repeats(CONFIG, MAIN)),
        differences=paths(DIFFERENCES, PAIRS),
        scores=paths(f"{SCORES}/localisation.csv", repeats(CONFIG, ALL))
        + paths(f"{EVALUATION}/{{variant}}/localisation.csv", PRIORS),
        counts=COUNTS + SET_COUNTS + PROMPT_COUNTS + paths(f"{MODEL}/training_counts.csv", FINE_TUNED),
    output:
        html=report(f"{RESULTS}/report.html", caption="../report/report.rst", category="Report"),
    log:
        f"{LOGS}/paper/report.log",
    benchmark:
        f"{BENCHMARKS}/paper/report.tsv"
    localrule: True
    resources:
        **LIGHT_JOB,
    params:
        benchmarks=BENCHMARKS,
        demo=DEMO,
        datasets=TITLES,
        titles=ALL_TITLES,
        template=sha256(Path(HOME, "tradeoffs/paper/report.html.j2")),
        code=code_digest("paper/report.py"),
    script:
        "../workflow_scripts/paper/report.py"


rule explore:
    """A page to look at the heat maps in a browser: variants side by side, by token, layer and time, with scores."""
    input:
        **{f"{dataset}_grounding": f"{DATA}/grounding.csv".format(dataset=dataset) for dataset in DATASETS},
        **{
            f"{dataset}_heat_maps": paths(
                f"{HEAT_MAPS}/heat_maps_{{shard}}.npz", FIRST_MAIN[dataset], CONFIG.heat_maps.shards
            )
            for dataset in DATASETS
        },
        **{f"{dataset}_maps": paths(f"{HEAT_MAPS}/explored_maps.npz", FIRST_MAIN[dataset]) for dataset in DATASETS},
        scores=[
            *paths(f"{SCORES}/localisation.csv", [one for dataset in DATASETS for one in FIRST_MAIN[dataset]]),
            *paths(f"{EVALUATION}/{{variant}}/localisation.csv", PRIORS),
        ],
    output:
        html=f"{RESULTS}/explore.html",
    log:
        f"{LOGS}/paper/explore.log",
    benchmark:
        f"{BENCHMARKS}/paper/explore.tsv"
    localrule: True
    resources:
        **LIGHT_JOB,
    params:
        **OF_PROTOCOL,
        datasets={
            dataset: {"title": TITLES[dataset], "text": SETS[dataset].texts[0], "variants": MAIN[dataset]}
            for dataset in DATASETS
        },
        resolution=CONFIG.image.resolution,
        demo=DEMO,
        template=sha256(Path(HOME, "tradeoffs/paper/explore.html.j2")),
        code=code_digest("paper/explore.py"),
    script:
        "../workflow_scripts/paper/explore.py"
