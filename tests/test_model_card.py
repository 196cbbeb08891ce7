"""Models as they are handed on: what their card says, and that diffusers opens their folder."""

import os

import pandas as pd
import pytest
import yaml
from diffusers import StableDiffusionPipeline

from tradeoffs.config.schema import Config
from tradeoffs.paper.model_card import is_pipeline, model_card, write_published

SUMMARY = pd.DataFrame(
    [
        ("frozen", "auc_roc", 0.8743, 0.004, 0.8618, 0.8861),
        ("frozen", "specificity", 0.12, None, 0.091, 0.152),
        ("frozen", "wrong_word_auc", 0.7, None, 0.6, 0.8),
        ("frozen", "bare_auc", 0.75, None, 0.7, 0.8),
        ("frozen", "wrong_prompt_auc", 0.65, None, 0.6, 0.7),
        ("location_prior", "auc_roc", 0.709, None, 0.683, 0.734),
    ],
    columns=["variant", "metric", "mean", "sd", "low", "high"],
).assign(dataset="cxr", protocol="corrected", text="phrase", pairs="all", group="macro", seeds=3)
OTHERS = SUMMARY.assign(mean=0.111, group="micro")
FIDELITY = pd.DataFrame(
    [
        ("frozen", "fid_general", 246.312),
        ("frozen", "label_auc", 0.8334),
        ("frozen", "ms_ssim", 0.31),
        ("real_images", "fid_general", 32.0964),
        ("real_images", "label_auc", 0.9991),
    ],
    columns=["variant", "metric", "value"],
)
COUNTS = {"read": 2400, "no text": 12, "kept": 2388}


def card(dataset="cxr", loads_in_diffusers=True, **config) -> str:
    resolved = Config(**config).dump()
    summaries = pd.concat([OTHERS, SUMMARY])
    if dataset == "coco":
        summaries = summaries.assign(text="caption")
    return model_card(dataset, "frozen", 2, resolved, summaries, FIDELITY, COUNTS, "c0ffee", loads_in_diffusers)


def test_scores_stand_beside_their_controls():
    text = card()
    assert "| AUC-ROC \u2191 | 0.874 \u00b1 0.004 [0.862, 0.886] | 0.709 [0.683, 0.734] |" in text
    assert "| Specificity \u2191 | 0.120 [0.091, 0.152] | \u2013 |" in text
    assert "| Wrong-word AUC | 0.700 [0.600, 0.800] | \u2013 |" in text
    assert "| Bare-map AUC | 0.750 [" in text and "| Wrong-prompt AUC | 0.650 [" in text
    assert "0.111" not in text
    assert "| FID \u2193 | 246.3 | 32.1 |" in text
    assert "| Label AUC \u2191 | 0.833 | 0.999 |" in text
    assert "| MS-SSIM \u2193 | 0.310 | \u2013 |" in text


def test_it_tells_what_the_variant_has_of_its_own():
    own = {"training": {"steps": 7, "text_dropout": 0.0}, "unet": "lora", "from": "models/start"}
    text = card(training={"steps": 600, "batch_size": 16}, variants={"frozen": own})
    assert "| steps, batch size | 7, 16 |" in text and "| text dropout | 0.0 |" in text
    assert "| fine-tuning began at | models/start |" in text and "| U-Net | adapters of low rank, merged |" in text


def test_it_tells_how_the_model_was_made():
    text = card(training={"steps": 600, "learning_rate": 1e-3}, base={"source": "models/base.ckpt"})
    for row in (
        "| base | models/base.ckpt |",
        "| text encoder | the base's own, frozen |",
        "| training images | 2,388 of 2,400 |",
        "| text | the report's impression |",
        "| steps, batch size | 600, 8 |",
        "| learning rate | 0.001 |",
        "| seed | 2 |",
        "| commit of the code | c0ffee |",
    ):
        assert row in text
    assert "num_inference_steps=75, guidance_scale=4.0" in text


@pytest.mark.parametrize(
    ("dataset", "source", "name", "words"),
    [
        ("cxr", "files", "credentialed-data-do-not-share", "**Trained on credentialed data: do not share.**"),
        ("coco", "files", "ms-coco-and-base", "annotations are CC BY 4.0"),
        ("cxr", "phantoms", "drawn-phantoms", "no patient's data"),
    ],
)
def test_credentialed_data_is_told_at_the_head_and_the_end(dataset, source, name, words):
    text = card(dataset, data={"source": source})
    assert text.count(words) == 2
    assert ("do not share" in text) == ("credentialed" in words)
    head = yaml.safe_load(text.split("---\n")[1])
    assert (head["library_name"], head["license_name"]) == ("diffusers", name)


def test_a_model_that_diffusers_does_not_open_says_what_does():
    assert "from_pretrained" not in card(loads_in_diffusers=False)
    assert "`tradeoffs.model.checkpoints.load` reads the folder" in card(loads_in_diffusers=False)


def test_the_folder_opens_as_a_pipeline(tiny_base, tmp_path, run_script):
    for name, table in (("frozen", SUMMARY[:5]), ("prior", SUMMARY[5:])):
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    FIDELITY.to_csv(tmp_path / "fidelity.csv", index=False)
    pd.DataFrame({"reason": list(COUNTS), "count": list(COUNTS.values())}).to_csv(tmp_path / "counts.csv", index=False)
    published = tmp_path / "published"
    run_script(
        "model_card",
        input={
            "model": str(tiny_base),
            "counts": str(tmp_path / "counts.csv"),
            "summaries": [str(tmp_path / "frozen.csv"), str(tmp_path / "prior.csv")],
            "fidelity": [str(tmp_path / "fidelity.csv")],
        },
        output={"folder": str(published)},
        params={},
        wildcards={"dataset": "cxr", "variant": "frozen", "seed": "0"},
    )
    assert is_pipeline(published)
    pipeline = StableDiffusionPipeline.from_pretrained(published, local_files_only=True)
    assert pipeline.unet.config.sample_size == 8
    text = (published / "README.md").read_text()
    assert "Trained on credentialed data: do not share." in text and "| FID \u2193 | 246.3 | 32.1 |" in text


def test_the_files_take_no_space_where_links_can_be_made(tiny_base, tmp_path):
    write_published(tiny_base, "card", tmp_path / "published")
    weights = next((tmp_path / "published/unet").glob("*.safetensors"))
    assert os.stat(weights).st_nlink >= 2 or os.stat(tiny_base).st_dev != os.stat(tmp_path).st_dev


def test_another_text_encoder_is_no_pipeline(tiny_base, tmp_path):
    write_published(tiny_base, "card", tmp_path / "published")
    (tmp_path / "published/text_encoder/projection.safetensors").touch()
    assert not is_pipeline(tmp_path / "published")
