"""Synthetic images of one model from the prompt list, in the kind of text that the model was trained on."""

from pathlib import Path

from tradeoffs.conditioning import prompt_texts, read_sentences
from tradeoffs.data.tables import read_prompts, write_table
from tradeoffs.files import atomic_path
from tradeoffs.jobs import job
from tradeoffs.sampling import draw_samples, sample_list

with job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    sentences = read_sentences(inputs.sentences) if inputs.sentences else None
    prompts = read_prompts(inputs.prompts)
    prompts["text"] = prompt_texts(params.text, prompts, sentences, seed=0)
    rows = sample_list(prompts, params.ms_ssim["prompts"], params.ms_ssim["repeats"])
    with atomic_path(snakemake.output.images) as folder:
        folder.mkdir(parents=True)
        for row, image in draw_samples(params.model, rows, seed=int(snakemake.wildcards.seed), **params.sampling):
            image.save(folder / Path(row["path"]).name)
    write_table(rows, snakemake.output.samples)
