"""What all candidates for the demo's base share: pictures, tokenizer, autoencoder and latents."""

import json

import torch
from safetensors.torch import save_file

from tradeoffs.demo.base import build_tokenizer, draw_pictures, latent_means, train_vae
from tradeoffs.files import atomic_path
from tradeoffs.jobs.job import job

with job(snakemake):
    params, output, workers = snakemake.params, snakemake.output, snakemake.threads
    chests = round(params.pictures * params.phantom_share)
    scenes = draw_pictures("scene", params.seed, params.pictures - chests, workers)
    plain = draw_pictures("chest", params.seed, chests, workers)
    # the autoencoder sees no text, so it may see findings; half of what it sees are chests
    findings = draw_pictures("findings", params.seed, params.pictures // 2, workers)
    with atomic_path(output.tokenizer) as temporary:
        build_tokenizer([*scenes.captions, *plain.captions, *findings.captions]).save_pretrained(temporary)
    vae = train_vae(
        torch.cat([scenes.images, plain.images, findings.images]),
        params.steps,
        params.decoder_steps,
        params.batch_size,
        params.learning_rate,
        params.seed,
    )
    with atomic_path(output.vae) as temporary:
        vae.save_pretrained(temporary)
    captioned = torch.cat([scenes.images, plain.images])
    with atomic_path(output.latents) as temporary:
        save_file({"latents": latent_means(vae, captioned)}, temporary)
    with atomic_path(output.captions) as temporary:
        temporary.write_text(json.dumps([*scenes.captions, *plain.captions]))
