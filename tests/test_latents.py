import json
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from tradeoffs.errors import InputError
from tradeoffs.model.latents import Latents, encode_images, save_latents
from tradeoffs.randomness import normal


def test_posterior_of_each_image(tiny_model, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    for image, path in zip(pixels, paths, strict=True):
        Image.fromarray(image).save(path)
    mean, std, rows = encode_images(tiny_model.vae, paths, resolution=64, batch_size=2)
    assert rows == [0, 1, 2]
    assert mean.shape == std.shape == (3, 4, 8, 8) and mean.dtype == torch.float32
    for i in range(3):
        image = torch.tensor(pixels[i] / 127.5 - 1, dtype=torch.float32).permute(2, 0, 1)[None]
        with torch.no_grad():
            moments = tiny_model.vae.quant_conv(tiny_model.vae.encoder(image))[0]
        torch.testing.assert_close(mean[i], moments[:4], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            std[i], torch.exp(moments[4:] / 2), atol=1e-5, rtol=1e-4
        )  # moments: mean, log variance


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_images_are_left_out_up_to_a_share(tiny_model, tmp_path, caplog, workers):
    paths = [str(tmp_path / f"{i}.png") for i in range(5)]
    for i, path in enumerate(paths):
        Image.new("L", (64, 64), 50 * i).save(path)
    whole, _, _ = encode_images(tiny_model.vae, paths, resolution=64, batch_size=2)
    for i in (2, 3):  # a whole batch
        (tmp_path / f"{i}.png").write_bytes(b"damaged")
    settings = {"resolution": 64, "batch_size": 2, "workers": workers}
    mean, std, rows = encode_images(tiny_model.vae, paths, **settings, max_missing=0.4)
    assert rows == [0, 1, 4] and mean.shape == std.shape == (3, 4, 8, 8)
    torch.testing.assert_close(mean, whole[rows])
    assert caplog.text.count("left out: ") == 2 and "2.png: cannot be read" in caplog.text
    with pytest.raises(InputError, match=r"3\.png: cannot be read as an image"):
        encode_images(tiny_model.vae, paths, **settings, max_missing=0.39)


def test_draw_from_the_posterior(tmp_path):
    mean, std = normal((3, 4, 2, 5), "mean"), normal((3, 4, 2, 5), "std").abs()
    save_latents(tmp_path / "train_0.safetensors", ["a", "b"], mean[:2], std[:2])
    save_latents(tmp_path / "train_1.safetensors", ["c"], mean[2:], std[2:])
    latents = Latents([tmp_path / "train_0.safetensors", tmp_path / "train_1.safetensors"], scaling_factor=0.5)
    assert latents.shape == (4, 2, 5)
    noise = normal((4, 2, 5), "noise")
    for i, name in enumerate("abc"):
        torch.testing.assert_close(latents.sample(name, noise), 0.5 * mean[i] + 0.5 * std[i] * noise)
        torch.testing.assert_close(latents.sample(name, torch.zeros(4, 2, 5)), 0.5 * mean[i])
    with pytest.raises(KeyError):
        latents.sample("d", noise)


def test_shards_may_not_share_samples(tmp_path):
    for shard in range(2):
        save_latents(tmp_path / f"{shard}.safetensors", ["a"], torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
    with pytest.raises(InputError, match=r"1\.safetensors: sample a is in another shard"):
        Latents([tmp_path / "0.safetensors", tmp_path / "1.safetensors"], 1.0)


def test_memory_does_not_grow_with_the_shards(tmp_path):
    paths, n, shape = [], 4000, (4, 64, 64)
    for shard in range(3):  # 1.5 GB each, without a byte on the disk
        header = {"__metadata__": {"ids": json.dumps([f"{shard}-{row}" for row in range(n)])}}
        size = n * 4 * 64 * 64 * 4
        for number, name in enumerate(("mean", "std")):
            offsets = [number * size, (number + 1) * size]
            header[name] = {"dtype": "F32", "shape": [n, *shape], "data_offsets": offsets}
        encoded = json.dumps(header).encode()
        paths.append(tmp_path / f"train_{shard}.safetensors")
        with paths[-1].open("wb") as file:
            file.write(len(encoded).to_bytes(8, "little") + encoded)
            file.truncate(8 + len(encoded) + 2 * size)
    with safe_open(paths[0], framework="pt") as shard:  # it is what the library reads
        assert shard.get_slice("std").get_shape() == [n, *shape]

    def memory():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    latents, noise = Latents(paths, 1.0), torch.ones(shape)
    before = memory()
    for name in list(latents.places)[::10]:
        latents.sample(name, noise)
    assert memory() - before < 20e6  # 160 MB were read


def test_a_shard_that_is_cut_short_is_refused(tmp_path):
    path = tmp_path / "train_0.safetensors"
    save_latents(path, ["a"], torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"train_0\.safetensors: not a shard of latents .*; delete it and run again"):
        Latents([path], 1.0)
