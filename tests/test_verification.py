"""Records of jobs, their join, and what verification finds."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from tradeoffs.errors import InputError
from tradeoffs.files import sha256
from tradeoffs.jobs.job import job
from tradeoffs.provenance import records
from tradeoffs.provenance.code import code_digest
from tradeoffs.provenance.verification import changed_files, join, lineage, made_again


def git(folder, *command):
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", *command], cwd=folder, check=True, capture_output=True
    )


def test_the_commit_is_marked_dirty_where_tracked_files_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "__file__", str(tmp_path / "records.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert records.commit() == "unknown"
    git(tmp_path, "init")
    assert records.commit() == "unknown"  # no commit yet
    (tmp_path / "tracked").write_text("1")
    git(tmp_path, "add", "tracked")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "tag", "-a", "v1", "-m", "a tag")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True).stdout.strip()
    (tmp_path / "untracked").write_text("1")
    assert len(head) == 40 and records.commit() == head
    (tmp_path / "tracked").write_text("2")
    assert records.commit() == f"{head}-dirty"


class Names(dict):
    """Snakemake's input, output, params or wildcards, as far as they are read."""

    __getattr__ = dict.__getitem__


OF_THE_WORKFLOW = {"folders": {"results": "results", "logs": "logs"}}


def run_job(rule: str, log: str, inputs: dict, outputs: dict, more=OF_THE_WORKFLOW, **params) -> None:
    """A job that writes to each output its name and the contents of its inputs. more: beside its configuration"""
    snakemake = SimpleNamespace(
        rule=rule,
        threads=1,
        log=[log],
        resources={},
        wildcards=Names(seed="0"),
        params=Names(params),
        config={"preset": "demo", "seeds": [0, 1]} | more,
        input=Names(inputs),
        output=Names(outputs),
    )
    with job(snakemake):
        content = "".join(Path(path).read_text() for path in records.listed(inputs))
        for name in [name for name in outputs if name != "provenance"]:
            Path(outputs[name]).write_text(json.dumps({name: content}))


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """Raw file -> images -> model -> scores (two jobs) -> table with its sidecar, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("raw.txt").write_text("raw")
    of_model = "results/r/model/cxr/frozen/seed0/provenance.json"
    run_job(
        "images",
        "logs/r/data/images.log",
        {"raw": "raw.txt"},
        {"images": "images.csv"},
        views=["PA"],
        order={"b": 1, "a": 2},
    )
    run_job("finetune", "logs/r/model/f.log", {"images": "images.csv"}, {"model": "m", "provenance": of_model})
    for seed in "01":
        run_job("score", f"logs/r/scores/{seed}.log", {"images": "images.csv", "model": "m"}, {"scores": f"{seed}.csv"})
    run_job("table", "logs/r/paper/table.log", {"scores": ["0.csv", "1.csv"]}, {"csv": "t.csv", "sidecar": "t.json"})
    run_job("other", "logs/r/paper/other.log", {"images": "images.csv"}, {"csv": "other.csv"})
    return records.records_of(Path("results/r"))


def test_a_job_leaves_a_record_of_what_it_was_made_from(chain):
    record = json.loads(Path("results/r/provenance/data/images.json").read_text())
    assert record["rule"] == "images" and record["wildcards"] == {"seed": "0"} and record["params"]["views"] == ["PA"]
    assert list(record["params"]["order"]) == ["b", "a"]
    assert record["config"] == {"preset": "demo", "seeds": [0, 1]}
    assert record["inputs"] == {"raw.txt": sha256("raw.txt")}
    assert record["outputs"] == {"images.csv": sha256("images.csv")}
    assert record["seconds"] >= 0 and record["device"] and record["packages"]["torch"] and record["commit"]


def test_the_record_of_a_model_lies_beside_it(chain):
    record = json.loads(Path("results/r/model/cxr/frozen/seed0/provenance.json").read_text())
    assert list(record["outputs"]) == ["m"]
    assert not Path("results/r/provenance/model").exists()


def test_a_sidecar_takes_up_checksums_device_and_time(chain):
    sidecar = json.loads(Path("t.json").read_text())
    assert sidecar["inputs"] == {"0.csv": sha256("0.csv"), "1.csv": sha256("1.csv")}
    assert {"sidecar", "device", "seconds"} < set(sidecar)


def test_a_script_run_by_hand_leaves_no_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_job("images", "images.log", {}, {"images": "images.csv"}, more={})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.csv", "images.log"]


def test_the_join_holds_the_jobs_behind_a_table_and_no_others(chain):
    joined = join(["t.csv"], chain, {"run": "r"})
    assert set(joined["files"]) == {"images.csv", "m", "0.csv", "1.csv", "t.csv", "t.json"}
    assert joined["sources"] == {"raw.txt": sha256("raw.txt")}
    assert set(joined["wall_seconds"]) == {"images", "finetune", "score", "table"}


def test_a_table_without_a_record_is_an_error(chain):
    with pytest.raises(InputError, match=r"unknown\.csv: there is no record"):
        lineage(["unknown.csv"], chain)


def test_untouched_files_are_as_their_jobs_wrote_them(chain):
    assert list(changed_files(lineage(["t.csv"], chain))) == []


@pytest.mark.parametrize(
    ("name", "complaints"),
    [
        ("raw.txt", ["raw.txt: is not what rule images read"]),
        ("1.csv", ["1.csv: is not what rule score wrote", "1.csv: is not what rule table read"]),
        ("t.csv", ["t.csv: is not what rule table wrote"]),
        ("other.csv", []),
    ],
)
def test_every_file_behind_a_table_is_compared(chain, name, complaints):
    Path(name).write_text("changed")
    assert sorted(changed_files(lineage(["t.csv"], chain))) == complaints


def test_a_file_behind_a_table_may_not_be_missing(chain):
    Path("0.csv").unlink()
    assert set(changed_files(lineage(["t.csv"], chain))) == {"0.csv: is missing"}


@pytest.fixture
def summary(tmp_path, monkeypatch, run_script):
    """The record of a summary of made-up scores."""
    monkeypatch.chdir(tmp_path)
    scores = pd.DataFrame(
        [("corrected", "phrase", f"s{i}", "Edema", "", True, i / 9) for i in range(9)],
        columns=["protocol", "text", "subject_id", "category", "excluded", "named", "auc_roc"],
    )
    scores.to_csv("scores.csv", index=False)
    job = {
        "wildcards": {"dataset": "cxr", "variant": "frozen"},
        "params": {"draws": 20, "code": code_digest("evaluation/summarise_localisation.py")},
        "input": {"scores": ["scores.csv"], "models": []},
        "output": {"summary": "summary.csv"},
    }
    run_script("summarise_localisation", **job)
    return job | {"rule": "localisation_summary", "config": {}, "outputs": {"summary.csv": ""}}


def test_a_summary_made_again_is_the_same(summary, tmp_path):
    assert made_again(summary, tmp_path / "again") == []


def test_a_summary_that_does_not_follow_from_its_scores_is_found(summary, tmp_path):
    text = Path("scores.csv").read_text()
    Path("scores.csv").write_text(text.replace("0.1111", "0.2222"))
    assert made_again(summary, tmp_path / "again") == ["summary.csv: made again from scores.csv it comes out otherwise"]


def test_a_summary_of_other_code_is_not_compared(summary, tmp_path):
    summary["params"]["code"] = "another"
    assert made_again(summary, tmp_path / "again") == ["summary.csv: the code that made it has changed since"]
