"""What the target check opens: everything that is wrong with what the configuration points to, at once."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_bad_input import BOXES, METADATA, SPLIT, copy, half

from tradeoffs.check.inputs import given
from tradeoffs.config.layers import resolve
from tradeoffs.config.paths import missing_paths
from tradeoffs.demo.phantom_coco import write_phantom_coco
from tradeoffs.demo.phantom_files import write_phantoms

PROJECT = Path(__file__).parents[1]
GROUNDING = pd.DataFrame({"phrase_id": ["a-1"], "sample_id": ["a"]})


def config(**user):
    return resolve({"preset": "smoke"} | user, PROJECT / "config" / "presets")


def problems(of, grounding=None) -> list[str]:
    assert missing_paths(of) == []
    return [str(fault) for entry in given(of, [], grounding) for fault in entry.faults()]


def sections(key: str, value: str) -> dict:
    """The configuration in which a dotted key has a value, and what makes the run read it."""
    nested: dict | str = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    if key.startswith("encoders."):
        nested["variants"] = {"other": {"encoder": key.split(".")[1]}}
    return nested


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_phantoms(folder, seed=0, train=1, val=1, p19=1, mscxr=1)
    write_phantom_coco(folder / "coco", seed=0, train=1, val=1)
    return folder


def on_files(folder: Path, **more: str):
    folders = {"mimic_cxr_jpg": "mimic-cxr-jpg", "mimic_cxr_reports": "mimic-cxr", "ms_cxr": "ms-cxr", "coco": "coco"}
    return config(data={"source": "files"} | {key: str(folder / name) for key, name in folders.items()} | more)


def test_nothing_is_wrong_with_the_presets(monkeypatch):
    monkeypatch.chdir(PROJECT)
    assert problems(config()) == []
    demo = resolve({"preset": "demo"}, PROJECT / "config" / "presets")
    assert {entry.key: entry.state for entry in given(demo, [], None)} == dict.fromkeys(
        ["data.sentences", "base.source", "encoders.minilm.source", "evaluation.extractors.findings_classifier"], "read"
    )


@pytest.mark.parametrize(
    ("key", "name", "message"),
    [
        ("data.prompts", "prompts.csv", "prompts.csv: has no column 'Finding Labels'"),
        ("data.sentences", "sentences.csv", "sentences.csv: has no column named after a finding"),
        ("external.other", "maps.npz", "maps.npz: is no .npz"),
        ("grounding.mine.path", "boxes.csv", "boxes.csv: has no column 'image'"),
        ("evaluation.extractors.inception", "i.pt", ".*i.pt is not the TorchScript file of Inception"),
        ("evaluation.extractors.xrv_densenet121_all", "xrv.pt", "needs the package torchxrayvision"),
        ("base.source", "model.ckpt", "model.ckpt: is damaged"),
        ("base.source", "model.safetensors", "model.safetensors: is damaged"),
        ("encoders.mine.source", "encoder/config.json", "encoder/config.json: cannot be read as JSON"),
    ],
)
def test_a_file_of_rubbish_is_named_with_its_key(tmp_path, monkeypatch, key, name, message):
    monkeypatch.chdir(PROJECT)
    monkeypatch.setitem(sys.modules, "torchxrayvision", None)
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("rubbish,2\n1,2\n")
    source = file.parent if file.parent != tmp_path else file
    [problem] = problems(config(**sections(key, str(source))))
    assert re.match(f"{key}: (?!{key}).*{message}", problem)


def test_boxes_without_any_of_their_images_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    (tmp_path / "boxes.csv").write_text("image,subject,category,x,y,w,h\nscan,p,Edema,1,2,3,4\nscan2,q,Edema,1,2,3,4\n")
    of = config(grounding={"mine": {"path": str(tmp_path / "boxes.csv")}})
    [problem] = problems(of)
    assert re.match("grounding.mine.path: .*none of 2 listed images is there, .* set grounding.mine.images", problem)
    (tmp_path / "scan.jpg").touch()
    assert problems(of) == []


def test_maps_of_other_images_are_told_once_the_grounding_table_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    np.savez(tmp_path / "maps.npz", id=np.array(["b-1"]), heat=np.ones((1, 4, 4)))
    of = config(external={"other": str(tmp_path / "maps.npz")})
    assert problems(of) == []
    [problem] = problems(of, GROUNDING)
    assert problem.startswith("external.other: ") and "'b-1' is no phrase_id" in problem


def test_a_base_whose_download_was_interrupted_is_told(tiny_base, tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    base = shutil.copytree(tiny_base, tmp_path / "base")
    assert problems(config(base={"source": str(base)})) == []
    weights = next((base / "unet").glob("*.safetensors"))
    weights.write_bytes(half(weights.read_bytes()))
    [problem] = problems(config(base={"source": str(base)}))
    assert re.match("base.source: .*safetensors: is cut short .*; download it again", problem)


def test_all_that_is_wrong_with_raw_tables_is_told(raw, tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    folder = copy(raw, tmp_path / "raw")
    assert problems(on_files(folder)) == []
    captions = "coco/annotations/captions_val2017.json"
    for file in (METADATA, SPLIT, BOXES, captions):
        (folder / file).unlink()  # the copies of a folder share their files
        (folder / file).write_text("rubbish\n")
    found = problems(on_files(folder))
    assert [problem.partition(":")[0] for problem in found] == ["data.mimic_cxr_jpg"] * 2 + ["data.ms_cxr", "data.coco"]
    assert all(
        Path(file).name in problem for file, problem in zip([METADATA, SPLIT, BOXES, captions], found, strict=True)
    )


def test_half_a_file_of_annotations_and_images_in_place_of_reports_are_told(raw, tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    folder = copy(raw, tmp_path / "raw")
    file = folder / "coco/annotations/instances_val2017.json"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(half(content))
    found = problems(on_files(folder, mimic_cxr_reports=str(folder / "mimic-cxr-jpg")))
    assert [problem.partition(":")[0] for problem in found] == ["data.mimic_cxr_reports", "data.coco"]
    assert re.search("mimic-cxr-jpg: none of .* listed reports .*; set data.mimic_cxr_reports to the folder", found[0])
    assert "instances_val2017.json: cannot be read as JSON" in found[1]


@pytest.mark.parametrize(
    ("file", "lacking"),
    [("captions_train2017", "annotations"), ("captions_val2017", "images"), ("instances_train2017", "annotations"),
     ("instances_val2017", "images")],
)  # fmt: skip
def test_annotations_that_lack_a_list_which_the_run_reads_are_told(raw, tmp_path, monkeypatch, file, lacking):
    monkeypatch.chdir(PROJECT)
    folder = copy(raw, tmp_path / "raw")
    path = folder / "coco/annotations" / f"{file}.json"
    content = json.loads(path.read_text())
    del content[lacking]
    path.unlink()
    path.write_text(json.dumps(content))
    [problem] = problems(on_files(folder))
    assert re.match(f"data.coco: .*{file}.json: has no list '{lacking}'; download", problem)


@pytest.mark.parametrize(
    ("key", "folder", "message"),
    [
        ("mimic_cxr_jpg", "mimic-cxr-jpg", "none of .* listed images .*; set data.mimic_cxr_jpg to the folder"),
        ("mimic_cxr_reports", "mimic-cxr", "none of .* listed reports .*; set data.mimic_cxr_reports to the folder"),
        ("coco", "coco/train2017", "none of 1 listed images .*train2017/.*; set data.coco to the folder"),
    ],
)
def test_a_folder_without_any_listed_file_is_told_with_the_remedy(raw, tmp_path, monkeypatch, key, folder, message):
    """Not max_missing, which is for downloads with gaps."""
    monkeypatch.chdir(PROJECT)
    copied = copy(raw, tmp_path / "raw")
    for suffix in ("jpg", "txt"):
        for file in (copied / folder).rglob(f"*.{suffix}"):
            file.unlink()
    [problem] = problems(on_files(copied))
    assert re.match(f"data.{key}: .*{message}", problem)


def test_prepared_tables_are_read_in_place_of_raw_ones(raw, tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    (tmp_path / "rubbish.csv").write_text("a,b\n1,2\n")
    found = problems(on_files(raw, **dict.fromkeys(("mimic_prepared", "coco_prepared"), str(tmp_path / "rubbish.csv"))))
    assert [problem.partition(":")[0] for problem in found] == ["data.mimic_prepared", "data.coco_prepared"]


def test_the_script_tells_of_everything_before_it_fails(tmp_path, monkeypatch, run_script, capfd):
    monkeypatch.chdir(PROJECT)
    (tmp_path / "rubbish").write_text("rubbish\n")
    of = config(
        data={"prompts": str(tmp_path / "rubbish")},
        external={"other": str(tmp_path / "rubbish")},
        base={"source": "no/where/there"},
    )
    with pytest.raises(SystemExit):
        run_script(
            "check",
            output={},
            params={"run": str(tmp_path), "config": of.dump()},
        )
    told = capfd.readouterr().err
    assert re.findall(r"(MISSING|WRONG) (\S+):", told) == [
        ("MISSING", "base.source"),
        ("WRONG", "external.other"),
        ("WRONG", "data.prompts"),
    ]
    assert "features of cxr: efficientnet_lite0, own_classifier" in told
    assert "Disk space" in told and "missing 1, wrong 2" in told
