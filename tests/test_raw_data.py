"""A run on raw files, as with MIMIC-CXR and MS-COCO: what runs again with them, and what tells them from the demo."""

import json
import re
from pathlib import Path

import pytest
from project import PROJECT, copy_project, rules_to_run, snakemake

from tradeoffs.demo.phantom_coco import write_phantom_coco
from tradeoffs.demo.phantom_files import write_phantoms
from tradeoffs.files import sha256

pytestmark = pytest.mark.xdist_group("raw data")

DATA = {"cxr": "results/smoke/data/cxr", "coco": "results/smoke/data/coco"}
FIGURE = "results/figures/data_cxr.png"
TARGETS = [f"{folder}/{table}.csv" for folder in DATA.values() for table in ("prompts", "wrong_prompts")]
FOLDERS = {
    "mimic_cxr_jpg": "raw/mimic-cxr-jpg",
    "mimic_cxr_reports": "raw/mimic-cxr",
    "ms_cxr": "raw/ms-cxr",
    "coco": "raw/coco",
}
FILES = [f"data={json.dumps({'source': 'files'} | FOLDERS)}"]
MIMIC = [f"raw/mimic-cxr-jpg/mimic-cxr-2.0.0-{table}.csv.gz" for table in ("metadata", "chexpert", "split")]
BOXES = "raw/ms-cxr/MS_CXR_Local_Alignment_v1.0.0.csv"
COCO = [
    f"raw/coco/annotations/{name}2017.json"
    for name in ("captions_train", "captions_val", "instances_train", "instances_val")
]


@pytest.fixture(scope="module")
def on_files(tmp_path_factory) -> Path:
    """A copy of the project with the prepared tables of a few phantoms, which it reads as files of the user's."""
    folder = copy_project(tmp_path_factory.mktemp("raw_data") / "project")
    write_phantoms(folder / "raw", seed=0, train=4, val=1, p19=2, mscxr=3)
    write_phantom_coco(folder / "raw" / "coco", seed=0, train=3, val=3)
    run = snakemake(folder, "--cores", "2", *TARGETS, FIGURE, more_config=FILES)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


CXR_RULES = {"prepare_images", "prepare_grounding", "prepare_prompts", "prepare_wrong_prompts"}
COCO_RULES = {"prepare_coco", "prepare_coco_grounding", "prepare_coco_prompts", "prepare_wrong_prompts"}


@pytest.mark.parametrize(("file", "expected"), [(MIMIC[0], CXR_RULES), (BOXES, CXR_RULES), (COCO[3], COCO_RULES)])
def test_a_changed_raw_table_runs_exactly_the_rules_that_read_it(on_files, file, expected):
    before = (on_files / file).read_bytes()
    (on_files / file).write_bytes(before + b"\n")
    changed = rules_to_run(on_files, *TARGETS, more_config=FILES)
    (on_files / file).write_bytes(before)
    assert changed == expected


def test_raw_tables_that_are_put_back_run_nothing(on_files):
    for file in (MIMIC[0], BOXES, COCO[3]):
        (on_files / file).write_bytes((on_files / file).read_bytes())
    assert rules_to_run(on_files, *TARGETS, more_config=FILES) == set()


@pytest.mark.parametrize(
    ("record", "tables"),
    [
        ("cxr/prepare_images", [*MIMIC, BOXES]),
        ("cxr/prepare_grounding", [BOXES]),
        ("coco/prepare_coco", COCO),
    ],
)
def test_the_raw_tables_stand_with_their_digests_in_the_record(on_files, record, tables):
    inputs = json.loads((on_files / f"results/smoke/provenance/data/{record}.json").read_text())["inputs"]
    assert {path: digest for path, digest in inputs.items() if path.startswith("raw/")} == {
        table: sha256(on_files / table) for table in tables
    }


def test_a_raw_table_that_is_gone_is_one_readable_error(on_files):
    gone = (on_files / COCO[3]).rename(on_files / "gone.json")
    run = snakemake(on_files, "--dry-run", *TARGETS, more_config=FILES)
    gone.rename(on_files / COCO[3])
    output = run.stdout + run.stderr
    assert run.returncode != 0 and "Traceback" not in output and "MissingInput" not in output
    assert "data.coco: the folder raw/coco holds no annotations/instances_val2017.json; give the folder" in output


# --- patients' data is told from the demo's ------------------------------------------------------------------------


def test_a_figure_with_images_of_mimic_says_not_to_share_it(on_files):
    record = json.loads((on_files / "results/smoke/provenance/paper/data_cxr.json").read_text())
    assert record["params"]["arguments"]["note"] == "Credentialed data of patients: do not share."


def test_every_figure_with_images_has_that_note():
    rules = re.split("^(?=rule |use rule )", (PROJECT / "rules" / "paper.smk").read_text(), flags=re.M)
    of_images = [rule for rule in rules if "        picture=" in rule]
    names = {re.match(r"(?:use rule \w+ as|rule) (\w+)", rule).group(1) for rule in of_images}
    assert names == {"overlays", "samples_figure", "data_sheet"}
    assert all("arguments=lambda wildcards: of_pictures(wildcards)" in rule for rule in of_images)


def test_figures_of_a_run_on_files_do_not_get_among_the_documents(on_files):
    assert "demo_docs" in snakemake(on_files, "--list").stdout
    listed = snakemake(on_files, "--list", more_config=FILES).stdout
    assert "data_sheet" in listed and "demo_docs" not in listed
