"""Fan-out: the same bits for any number of shards, and nothing lost when a job is killed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import tradeoffs.attention.capture
import tradeoffs.sampling
from tradeoffs.attention.heat_maps import load_heat_maps
from tradeoffs.data.tables import read_samples, write_table
from tradeoffs.jobs.shards import Unfinished, rows_of_shard
from tradeoffs.model.latents import Latents, save_latents
from tradeoffs.randomness import normal

SHARDS = [1, 2, 3, 5]  # more than there are batches, too

# --- the division -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", SHARDS)
@pytest.mark.parametrize(("rows", "batch_size"), [(0, 4), (1, 4), (8, 4), (21, 4), (21, 1), (21, 50)])
def test_shards_are_whole_batches_and_together_all_rows_in_order(rows, batch_size, shards):
    places = list(range(rows))
    parts = [places[rows_of_shard(rows, batch_size, shard, shards)] for shard in range(shards)]
    assert sum(parts, []) == places
    whole = [places[first : first + batch_size] for first in range(0, rows, batch_size)]
    of_shards = [part[first : first + batch_size] for part in parts for first in range(0, len(part), batch_size)]
    assert of_shards == whole
    batches = [-(-len(part) // batch_size) for part in parts]
    assert max(batches) - min(batches) <= 1


# --- what is unfinished -------------------------------------------------------------------------------------------


def test_files_of_the_same_job_are_kept_until_it_is_done(tmp_path):
    folder = tmp_path / "unfinished"
    (Unfinished(folder, "one").folder / "a").write_text("a")
    again = Unfinished(folder, "one")
    assert again.done(["a", "b"]) == 1
    again.remove()
    assert not folder.exists()


def test_files_of_another_job_are_thrown_away(tmp_path):
    (Unfinished(tmp_path / "unfinished", "one").folder / "a").write_text("a")
    assert Unfinished(tmp_path / "unfinished", "two").done(["a"]) == 0
    assert Unfinished(tmp_path / "unfinished", "one").done(["a"]) == 0


def test_done_ends_at_the_first_file_that_is_missing(tmp_path):
    unfinished = Unfinished(tmp_path / "unfinished", "one")
    for name in ("a", "c"):
        (unfinished.folder / name).write_text("")
    assert unfinished.done("abc") == 1


# --- the scripts --------------------------------------------------------------------------------------------------

FINDINGS = ["Edema", "Pneumonia", "Atelectasis", "Cardiomegaly", "Consolidation"]


def grey_levels(n):
    return np.random.default_rng(0).integers(0, 256, (n, 64, 64), dtype=np.uint8)


@pytest.fixture
def draw(tiny_base, tmp_path, run_script):
    """Samples with so many shards: 7 images in batches of 2. Returns images by id, and the lists' rows."""
    prompts = pd.DataFrame({"prompt_id": list("abcde"), "text": FINDINGS, "Finding Labels": FINDINGS})
    write_table(prompts, tmp_path / "prompts.csv")

    def run(shards, seed=0):
        folders = [tmp_path / f"of{shards}" / f"shard{shard}" for shard in range(shards)]
        for shard, folder in enumerate(folders):
            run_script(
                "draw_samples",
                input={"prompts": str(tmp_path / "prompts.csv"), "sentences": []},
                params={
                    "model": str(tiny_base),
                    "text": "impression",
                    "unconditional": "",
                    "sampling": {"guidance": 4.0, "steps": 2, "scheduler": "ddim", "batch_size": 2},
                    "resolution": 64,
                    "ms_ssim": {"prompts": 1, "repeats": 3},
                    "shards": shards,
                    "unfinished": str(folder / "unfinished"),
                },
                wildcards={"seed": str(seed), "shard": str(shard)},
                output={"images": folder / "images", "samples": folder / "samples.csv"},
            )
            assert sorted(path.name for path in folder.iterdir()) == ["images", "samples.csv"]
        rows = read_samples([folder / "samples.csv" for folder in folders])
        assert len(list((tmp_path / f"of{shards}").rglob("*.png"))) == len(rows)
        return {row.image_id: Path(row.path).read_bytes() for row in rows.itertuples()}, rows.drop(columns="path")

    return run


def test_samples_are_the_same_bytes_for_any_number_of_shards(draw):
    images, rows = draw(1)
    assert len(set(images.values())) == len(rows) == 7
    for shards in SHARDS[1:]:
        of_shards, rows_of_shards = draw(shards)
        assert list(of_shards.items()) == list(images.items())
        pd.testing.assert_frame_equal(rows_of_shards, rows)


def killed_after(n, function):
    """The generator function, whose n-th next item never comes."""

    def stopping(*arguments, **more):
        for number, item in enumerate(function(*arguments, **more)):
            if number == n:
                raise KeyboardInterrupt
            yield item

    return stopping


def counting(function):
    """The generator function, and a list of the items that it gave."""
    given = []

    def wrapped(*arguments, **more):
        for item in function(*arguments, **more):
            given.append(item)
            yield item

    return wrapped, given


def test_a_killed_sampling_job_goes_on_with_its_unfinished_batch(draw, tmp_path, monkeypatch):
    images, _ = draw(1)
    expected = dict(images)
    original = tradeoffs.sampling.draw_samples
    folder = tmp_path / "of1" / "shard0"
    for path in [*(folder / "images").iterdir(), folder / "samples.csv"]:
        path.unlink()
    (folder / "images").rmdir()

    monkeypatch.setattr(tradeoffs.sampling, "draw_samples", killed_after(5, original))
    with pytest.raises(KeyboardInterrupt):
        draw(1)
    assert len(list((folder / "unfinished" / "images").iterdir())) == 5 and not (folder / "samples.csv").exists()

    again, given = counting(original)
    monkeypatch.setattr(tradeoffs.sampling, "draw_samples", again)
    images, _ = draw(1)
    assert images == expected
    assert [row["image_id"] for row, _ in given] == list(expected)[4:]  # the fifth was alone in its batch


def test_samples_of_another_seed_are_not_taken_for_a_killed_jobs_own(draw, monkeypatch):
    original = tradeoffs.sampling.draw_samples
    monkeypatch.setattr(tradeoffs.sampling, "draw_samples", killed_after(5, original))
    with pytest.raises(KeyboardInterrupt):
        draw(1, seed=1)
    monkeypatch.setattr(tradeoffs.sampling, "draw_samples", original)
    images, _ = draw(1)
    assert images == draw(2)[0]


@pytest.fixture
def encode(tiny_base, tmp_path, run_script):
    """Encodes 5 images with so many shards in batches of 2; returns the ids in order, mean and deviation of each."""
    paths = [str(tmp_path / f"{i}.png") for i in range(6)]
    for pixels, path in zip(grey_levels(6), paths, strict=True):
        Image.fromarray(pixels).save(path)
    images = pd.DataFrame({"sample_id": list("abcdef"), "subject_id": list("abcdef"), "study_id": "", "path": paths})
    images = images.assign(split=["train"] * 3 + ["val"] + ["train"] * 2, text="x", **{"Finding Labels": ""})
    write_table(images, tmp_path / "images.csv")

    def run(shards):
        files = [tmp_path / f"train_{shard}_of_{shards}.safetensors" for shard in range(shards)]
        for shard, file in enumerate(files):
            run_script(
                "latents",
                input={"images": tmp_path / "images.csv", "base": tiny_base},
                params={"resolution": 64, "batch_size": 2, "shards": shards},
                wildcards={"subset": "train", "shard": str(shard)},
                output={"latents": file},
            )
        return Latents(files, 1.0)

    return run


def test_latents_are_the_same_bits_for_any_number_of_shards(encode):
    whole = encode(1)
    assert list(whole.places) == ["a", "b", "c", "e", "f"] and whole.shape == (4, 8, 8)
    for shards in SHARDS[1:]:
        latents = encode(shards)
        assert list(latents.places) == list(whole.places) and latents.shape == whole.shape
        for noise in (torch.zeros(4, 8, 8), torch.ones(4, 8, 8)):  # mean, and mean + deviation
            assert all(torch.equal(latents.sample(name, noise), whole.sample(name, noise)) for name in whole.places)


@pytest.fixture
def heat_maps(tiny_base, tmp_path, run_script):
    """Heat maps of 5 phrases with so many shards, two at once; returns the maps in order."""
    names = [f"{letter}-1" for letter in "abcde"]
    texts = ["mild edema.", "no acute process", "left pneumonia", "", "right effusion"]
    grounding = pd.DataFrame({"phrase_id": names, "sample_id": list("abcde"), "subject_id": list("abcde")})
    grounding = grounding.assign(path="x", category=FINDINGS, phrase=[f"{text} left" for text in texts])
    grounding = grounding.assign(boxes=[[[0, 0, 2, 2]]] * 5, image_width=4, image_height=4, text=texts, mask="")
    write_table(grounding, tmp_path / "grounding.csv")
    wrong = [("phrase", "b-1", "b", "right edema", "Edema"), ("impression", "a", "a", "left process", "Edema")]
    columns = ["text_kind", "id", "sample_id", "text", "category"]
    write_table(pd.DataFrame(wrong, columns=columns), tmp_path / "wrong_prompts.csv")
    save_latents(tmp_path / "0.safetensors", list("abcde"), normal((5, 4, 8, 8), "mean"), torch.ones(5, 4, 8, 8))

    def run(shards):
        files = [tmp_path / f"heat_maps_{shard}_of_{shards}.npz" for shard in range(shards)]
        for shard, file in enumerate(files):
            run_script(
                "heat_maps",
                input={
                    "grounding": tmp_path / "grounding.csv",
                    "wrong_prompts": tmp_path / "wrong_prompts.csv",
                    "latents": [tmp_path / "0.safetensors"],
                },
                params={
                    "model": str(tiny_base),
                    "conditioning": "impression",
                    "texts": ["phrase", "impression"],
                    "wrong_prompts": True,
                    "steps": 10,
                    "keep": 3,
                    "batch_size": 7,
                    "precision": "fp32",
                    "shards": shards,
                    "unfinished": str(tmp_path / f"unfinished_{shard}"),
                },
                wildcards={"seed": "0", "shard": str(shard)},
                output={"heat_maps": file},
            )
            assert not (tmp_path / f"unfinished_{shard}").exists()
        names = ("phrase", "wrong_phrase", "impression", "wrong_impression")
        return [(name, m) for name in names for m in load_heat_maps(files, name).values()]

    return run


def assert_same_maps(found, expected):
    assert [(name, m.id, m.text, m.tokens) for name, m in found] == [
        (name, m.id, m.text, m.tokens) for name, m in expected
    ]
    for (_, one), (_, other) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.heat, other.heat)
        np.testing.assert_array_equal(one.spans, other.spans)


def test_heat_maps_are_the_same_bits_for_any_number_of_shards(heat_maps):
    whole = heat_maps(1)
    assert [m.id for _, m in whole] == ["a-1", "b-1", "c-1", "d-1", "e-1", "b-1", "a", "b", "c", "e", "a"]
    for shards in SHARDS[1:]:
        assert_same_maps(heat_maps(shards), whole)


def test_killed_heat_maps_go_on_with_their_unfinished_group(heat_maps, monkeypatch):
    whole = heat_maps(1)
    original = tradeoffs.attention.capture.token_heat_maps
    monkeypatch.setattr(tradeoffs.attention.capture, "token_heat_maps", killed_after(3, original))
    with pytest.raises(KeyboardInterrupt):
        heat_maps(1)
    again, given = counting(original)
    monkeypatch.setattr(tradeoffs.attention.capture, "token_heat_maps", again)
    assert_same_maps(heat_maps(1), whole)
    assert [m.id for m in given] == ["c-1", "d-1", "e-1", "b-1", "a", "b", "c", "e", "a"]
