"""One shard of a model's synthetic images from the prompt list."""

import os

from tradeoffs.data.conditioning import prompt_texts, read_sentences
from tradeoffs.data.tables import LABELS, read_prompts, write_table
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import identity, job
from tradeoffs.jobs.shards import Unfinished, rows_of_shard
from tradeoffs.sampling import draw_samples, sample_list

with job(snakemake):
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    sentences = read_sentences(inputs.sentences) if inputs.sentences else None
    prompts = read_prompts(inputs.prompts, LABELS)
    prompts["text"] = prompt_texts(params.text, prompts, sentences, seed=0)
    rows = sample_list(prompts, params.ms_ssim["prompts"], params.ms_ssim["repeats"])
    batch_size = params.sampling["batch_size"]
    rows = rows.iloc[rows_of_shard(len(rows), batch_size, int(wildcards.shard), params.shards)]

    unfinished = Unfinished(params.unfinished, identity(snakemake))
    whole_batches = unfinished.done(rows["path"]) // batch_size * batch_size
    samples = draw_samples(
        params.model,
        rows.iloc[whole_batches:],
        seed=int(wildcards.seed),
        resolution=params.resolution,
        unconditional=params.unconditional,
        **params.sampling,
    )
    for row, image in samples:
        with atomic_path(unfinished.folder / row["path"]) as temporary:
            image.save(temporary)

    write_table(rows, snakemake.output.samples)
    with atomic_path(snakemake.output.images) as folder:
        folder.mkdir()
        for path in rows["path"]:
            os.replace(unfinished.folder / path, folder / os.path.basename(path))
    unfinished.remove()
