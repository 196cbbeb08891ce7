"""Image table, MS-CXR's phrases or the user's own list of prompts -> prompts for sampling."""

from tradeoffs.data.prompts import balanced_prompts, label_counts, mscxr_prompts, repeated_prompts
from tradeoffs.data.tables import read_grounding, read_images, read_prompts, write_counts, write_table
from tradeoffs.jobs.job import job, logger

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    if inputs.user_csv:
        prompts, counts = repeated_prompts(read_prompts(inputs.user_csv), params.n)
    elif inputs.phrases:
        prompts, counts = mscxr_prompts(read_grounding(inputs.phrases, "test"), params.n, params.seed)
    else:
        images = read_images(inputs.images)
        prompts, counts = balanced_prompts(images, params.n, params.seed)
    for label, number in label_counts(prompts).items():
        logger.info(f"{label}: {number} prompts")
    write_table(prompts, snakemake.output.prompts)
    write_counts(counts, snakemake.output.counts)
