"""A further set of boxes, from whichever layout -> image table and grounding table."""

from tradeoffs.data.grounding_sets import prepare_grounding_set, read_rows
from tradeoffs.data.tables import read_images, write_counts, write_table
from tradeoffs.data.words import with_words
from tradeoffs.jobs.job import job
from tradeoffs.jobs.limits import limit

with job(snakemake):
    params, output = snakemake.params, snakemake.output
    of_set = params.of_set
    key = f"grounding.{snakemake.wildcards.boxes}"
    base = read_images(snakemake.input.trained_on)
    grounding, images, counts = prepare_grounding_set(
        read_rows(key, **of_set),
        source=of_set["path"],
        folder=params.folder,
        trained_on=set(base.loc[base["split"].isin(["train", "val"]), "subject_id"]),
        max_missing=limit(snakemake, "data.max_missing"),
        key=f"{key}.images",
        split=of_set["split"],
        categories=of_set["categories"],
    )
    write_table(images, output.images)
    write_table(with_words(grounding, of_set["query_words"]), output.grounding)
    write_counts(counts, output.counts)
