"""What fine-tuning did to one model's token embeddings and cross-attention, a row a text on an image."""

import numpy as np
import torch

from tradeoffs.attention.methods import PAPER, method_maps
from tradeoffs.attention.passes import FRESH
from tradeoffs.attention.sums import load_sums
from tradeoffs.data.tables import keyed, read_grounding, write_table
from tradeoffs.evaluation.localisation import samples
from tradeoffs.evaluation.mechanism import measured
from tradeoffs.evaluation.splits import of_patients
from tradeoffs.jobs.devices import default_device
from tradeoffs.jobs.job import job
from tradeoffs.model.checkpoints import LatentDiffusion, load
from tradeoffs.model.text import CachedTextEncoder, tokenize
from tradeoffs.protocols import CORRECTED


@torch.no_grad()
def own_tokens(model: LatentDiffusion, texts: list[str]) -> dict[str, np.ndarray]:
    """By text, what a model's text encoder makes of the text's own tokens, float32 (k, d)."""
    encoder = CachedTextEncoder(*model.text_side)
    return {
        text: encoder.states([text])[0, tokenize(model.tokenizer, text).positions].float().cpu().numpy()
        for text in texts
    }


with job(snakemake):
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    sums = {one.id: one for one in load_sums(inputs.sums, FRESH)}
    grounding = of_patients(read_grounding(inputs.grounding), params.patients)
    rows = samples(grounding, params.text, CORRECTED, params.resolution)
    texts = sorted({one.text for one in sums.values()})
    maps = {name: method_maps({FRESH: one}, PAPER, params.map_size) for name, one in sums.items()}
    model = load(params.model).to(default_device())
    before = own_tokens(load(params.base).to(default_device()), texts) if params.same_encoder else None
    table = measured(rows, sums, maps, own_tokens(model, texts), before, model.tokenizer.model_max_length)
    keys = {"dataset": wildcards.dataset, "variant": wildcards.variant, "seed": wildcards.seed, "step": params.step}
    write_table(keyed(table, **keys), snakemake.output.measures)
