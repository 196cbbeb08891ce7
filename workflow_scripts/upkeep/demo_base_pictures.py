"""What all candidates for the demo's base share: captioned pictures as latents, tokenizer and autoencoder."""

import pandas as pd
import torch

from tradeoffs.data.tables import write_table
from tradeoffs.demo.base import build_tokenizer, encode_pictures, train_vae
from tradeoffs.demo.pictures import draw_pictures
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job
from tradeoffs.model.latents import save_latents

with job(snakemake):
    params, output, workers = snakemake.params, snakemake.output, snakemake.threads
    shown = [draw_pictures(kind, params.seed, count, workers) for kind, count in params.pictures.items()]
    captioned = torch.cat([pictures.images for pictures in shown])
    captions = [caption for pictures in shown for caption in pictures.captions]
    # the autoencoder sees no text, so it may see phantoms as the demo has them: a fifth of its pictures
    phantoms = draw_pictures("phantom", params.seed, len(captions) // 4, workers)
    with atomic_path(output.tokenizer) as temporary:
        build_tokenizer([*captions, *phantoms.captions]).save_pretrained(temporary)
    vae = train_vae(torch.cat([captioned, phantoms.images]), **params.autoencoder, seed=params.seed)
    with atomic_path(output.vae) as temporary:
        vae.save_pretrained(temporary)
    ids = [str(number) for number in range(len(captions))]
    save_latents(output.latents, ids, *encode_pictures(vae, captioned))
    write_table(pd.DataFrame({"sample_id": ids, "text": captions}), output.captions)
