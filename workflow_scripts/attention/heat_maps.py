"""One shard of a model's token heat maps on test images: of each kind of text, and of wrong prompts as a control."""

from itertools import islice

from tradeoffs.attention.capture import TextOnImage, texts_at_once, token_heat_maps
from tradeoffs.attention.heat_maps import load_heat_maps, save_heat_maps
from tradeoffs.data.findings_in_text import with_names
from tradeoffs.data.tables import read_csv, read_grounding
from tradeoffs.data.text_kinds import TEXT_KINDS
from tradeoffs.jobs.devices import default_device
from tradeoffs.jobs.job import identity, job
from tradeoffs.jobs.shards import Unfinished, rows_of_shard
from tradeoffs.model.checkpoints import load
from tradeoffs.model.latents import Latents
from tradeoffs.randomness import normal

with job(snakemake):
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    shard, seed = int(wildcards.shard), int(wildcards.seed)
    model = load(params.model).to(default_device())
    latents = Latents(inputs.latents, model.vae.config.scaling_factor)
    grounding = read_grounding(inputs.grounding)
    wrong_prompts = read_csv(
        inputs.wrong_prompts, ["text_kind", "id", "sample_id", "text", "category"], "delete it and run again"
    )

    kinds = {}
    for text in params.texts:
        kind = TEXT_KINDS[text]  # samples without the text are excluded in scoring
        kinds[text] = with_names(params.conditioning, grounding[grounding[kind.text] != ""], kind.id, kind.text)
        if params.wrong_prompts:
            of_kind = wrong_prompts[wrong_prompts["text_kind"] == text]
            kinds[f"wrong_{text}"] = with_names(params.conditioning, of_kind, "id", "text")

    unfinished = Unfinished(params.unfinished, identity(snakemake))
    group = texts_at_once(params.keep, params.batch_size)
    finished = {}
    for kind_name, rows in kinds.items():
        rows = rows.iloc[rows_of_shard(len(rows), group, shard, params.shards)]
        texts_on_images = [
            TextOnImage(name, sample_id, text, latents.sample(sample_id, normal(latents.shape, seed, sample_id)), names)
            for name, sample_id, text, names in rows.itertuples(index=False, name=None)
        ]
        files = [f"{kind_name}_{first:06d}.npz" for first in range(0, len(texts_on_images), group)]
        done = unfinished.done(files)
        maps = token_heat_maps(
            model, texts_on_images[done * group :], seed, params.steps, params.keep, params.batch_size, params.precision
        )
        for file in files[done:]:
            save_heat_maps(unfinished.folder / file, {kind_name: list(islice(maps, group))})
        finished[kind_name] = list(load_heat_maps([unfinished.folder / file for file in files], kind_name).values())
    save_heat_maps(snakemake.output.heat_maps, finished)
    unfinished.remove()
