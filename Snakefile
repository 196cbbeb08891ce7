# Table of contents of the workflow, in the order data flows.
from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/model.smk"
include: "rules/attention.smk"
include: "rules/sampling.smk"
include: "rules/evaluation.smk"
include: "rules/paper.smk"
include: "rules/methods.smk"
include: "rules/provenance.smk"
include: "rules/publishing.smk"
include: "rules/check.smk"
include: "rules/upkeep/demo_base.smk"
include: "rules/upkeep/effects.smk"
include: "rules/upkeep/demo_docs.smk"
include: "rules/environment.smk"


report: "report/workflow.rst"


rule all:
    """Every table, every figure and the report."""
    default_target: True
    input:
        expand(f"{RESULTS}/{{table}}.{{format}}", table=TABLES, format=["csv", "md", "tex", "json"]),
        rules.figures.input,
        rules.report.output,
        rules.provenance.output,


check_spelling()
