"""Variants with other text encoders, adapters and texts with findings, from their source to heat maps and samples."""

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import StableDiffusionPipeline
from encoders import save_encoder
from small_training import IDS, SETTINGS, TEXTS

from tradeoffs.attention.heat_maps import load_heat_maps
from tradeoffs.config.sections.model import Variant
from tradeoffs.data.findings_in_text import FINDINGS
from tradeoffs.data.tables import write_table
from tradeoffs.evaluation.queries import token_weights
from tradeoffs.model.checkpoints import load
from tradeoffs.model.finding_tokens import FindingTokenizer
from tradeoffs.model.latents import save_latents
from tradeoffs.protocols import CORRECTED
from tradeoffs.randomness import normal


@pytest.fixture
def data(tmp_path):
    """Six images with latents, of which two are tested, and a prompt."""
    rows = pd.DataFrame({"sample_id": IDS, "subject_id": IDS, "study_id": "", "path": "x.png", "split": "train"})
    write_table(rows.assign(text=TEXTS, **{"Finding Labels": ""}), tmp_path / "images.csv")
    grounding = rows[:2].assign(phrase_id=["p0", "p1"], phrase=["left pneumonia", "mild edema"], text=TEXTS[:2])
    grounding = grounding.assign(category="Edema", boxes=[[[0, 0, 9, 9]]] * 2, image_width=64, image_height=64, mask="")
    write_table(grounding, tmp_path / "grounding.csv")
    write_table(
        pd.DataFrame(columns=["text_kind", "id", "sample_id", "text", "category"]), tmp_path / "wrong_prompts.csv"
    )
    write_table(pd.DataFrame([{"prompt_id": "a", "text": "edema", "Finding Labels": ""}]), tmp_path / "prompts.csv")
    mean, std = normal((6, 4, 8, 8), "mean"), normal((6, 4, 8, 8), "std").abs()
    save_latents(tmp_path / "latents.safetensors", IDS, mean, std)
    return tmp_path


def fine_tune(run_script, data, base, variant, encoder):
    """Runs the script; returns the folder of the final model and that of the model after two steps."""
    run_script(
        "finetune",
        input={
            "images": str(data / "images.csv"),
            "base": str(base),
            "encoder": encoder,
            "latents": [str(data / "latents.safetensors")],
            "captions": [],
            "sentences": [],
        },
        params={
            "model": str(base),
            "variant": variant.model_dump(),
            "training": asdict(replace(SETTINGS, steps=3, milestones=[2])),
            "validation": "val",
            "resolution": 64,
            "checkpoints": str(data / "checkpoint"),
            "code": "",
        },
        output={
            name: data / name for name in ("model", "milestones", "ema", "losses", "validation", "record", "counts")
        },
        wildcards={"dataset": "cxr", "variant": "small", "seed": "0"},
    )
    return data / "model", data / "milestones" / "step2"


def heat_maps(run_script, data, model, conditioning="impression"):
    run_script(
        "heat_maps",
        input={
            "grounding": data / "grounding.csv",
            "wrong_prompts": data / "wrong_prompts.csv",
            "latents": [data / "latents.safetensors"],
        },
        params={
            "model": model,
            "conditioning": conditioning,
            "texts": ["phrase"],
            "wrong_prompts": False,
            "precision": "fp32",
            **{"steps": 2, "keep": 2, "batch_size": 2, "shards": 1, "unfinished": data / "unfinished"},
        },
        output={"heat_maps": data / "maps.npz"},
        wildcards={"seed": "0", "shard": "0"},
    )
    return load_heat_maps(data / "maps.npz", "phrase")


def draw(run_script, data, model, text="impression"):
    run_script(
        "draw_samples",
        input={"prompts": data / "prompts.csv", "sentences": []},
        params={
            "model": model,
            "text": text,
            "unconditional": "",
            "sampling": {"guidance": 4.0, "steps": 2, "scheduler": "ddim", "batch_size": 1},
            "resolution": 64,
            "ms_ssim": {"prompts": 1, "repeats": 2},
            "shards": 1,
            "unfinished": data / "unfinished_samples",
        },
        output={"images": data / "samples", "samples": data / "samples.csv"},
        wildcards={"seed": "0", "shard": "0"},
    )
    return list((data / "samples").iterdir())


def test_the_texts_that_do_not_fit_are_counted(tiny_base, data, run_script):
    images = pd.read_csv(data / "images.csv")
    images.loc[[1, 4], "text"] = "left " * 30
    images.to_csv(data / "images.csv", index=False)
    fine_tune(run_script, data, tiny_base, Variant(), [])
    counts = pd.read_csv(data / "counts", index_col="reason")["count"]
    assert counts["of the kept, text cut at 24 tokens"] == 2 and counts["kept"] == 6


def test_a_variant_with_another_text_encoder(tiny_base, data, run_script):
    run_script(
        "encoder",
        params={
            "key": "encoders.small.source",
            "kind": "folder",
            "source": str(save_encoder("cxr_bert", data / "published")),
            "revision": None,
        },
        output={"encoder": data / "encoder"},
    )
    folders = fine_tune(run_script, data, tiny_base, Variant(encoder="small"), str(data / "encoder"))
    weights = []
    for folder in folders:
        assert json.loads((folder / "model_index.json").read_text())["text_encoder"] == ["transformers", "BertModel"]
        weights.append(load(folder).projection.weight)
    assert not torch.equal(*weights)  # it went on learning after the milestone
    maps = heat_maps(run_script, data, folders[0])
    assert maps["p1"].tokens == ["mild", "edema"] and maps["p1"].heat.shape == (2, 8, 8)
    assert len(draw(run_script, data, folders[0])) == 2


def test_a_variant_with_adapters_ends_as_plain_folders(tiny_base, data, run_script):
    folders = fine_tune(run_script, data, tiny_base, Variant(text_encoder="lora", lora_rank=2), [])
    base = load(tiny_base).text_encoder.state_dict()
    for folder in folders:
        pipeline = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
        merged = pipeline.text_encoder.state_dict()
        assert merged.keys() == base.keys()
        changed = {name for name in base if not torch.equal(merged[name], base[name])}
        assert changed and all(".q_proj." in name or ".v_proj." in name for name in changed)
        assert pipeline("edema", num_inference_steps=2, output_type="np").images.shape == (1, 64, 64, 3)
    assert len(heat_maps(run_script, data, folders[0])) == 2


@pytest.mark.parametrize("text", ["findings_first", "findings_random"])
def test_a_variant_with_findings_in_its_texts(tiny_base, data, run_script, text):
    variant = Variant(text=text, attention_regularisation=0.12)
    final, _ = fine_tune(run_script, data, tiny_base, variant, [])
    maps = heat_maps(run_script, data, final, text)
    assert {maps["p0"].text[start:end] for start, end in maps["p0"].names} == {"Edema"}
    assert sorted(maps["p0"].text.split()) == ["Edema", "left", "pneumonia"]
    weights, query = token_weights(maps["p0"], ("edema",), CORRECTED)
    assert query == "matched"
    assert 0 < np.count_nonzero(weights) < len(weights)
    assert len(draw(run_script, data, final, text)) == 2


@pytest.mark.parametrize("text_encoder", ["frozen", "learnable"])
@pytest.mark.parametrize("around", [False, True])
def test_a_variant_with_tokens_of_findings(tiny_base, data, run_script, text_encoder, around):
    variant = Variant(
        text="finding_tokens",
        text_encoder=text_encoder,
        finding_tokens={"start_and_end": around, "one_absent": around},
        attention_regularisation=1.0,
    )
    final, _ = fine_tune(run_script, data, tiny_base, variant, [])
    model = load(final)
    assert isinstance(model.tokenizer, FindingTokenizer)
    assert not model.text_encoder.embeddings.position_embedding.weight.any()
    maps = heat_maps(run_script, data, final, "finding_tokens")
    assert maps["p0"].tokens == list(FINDINGS)
    weights, _ = token_weights(maps["p0"], ("edema",), CORRECTED)
    assert np.flatnonzero(weights).tolist() == [FINDINGS.index("Edema")]
    assert len(draw(run_script, data, final, "finding_tokens")) == 2
