"""Two runs side by side: `tradeoffs compare`."""

import json

import pandas as pd
import pytest

from tradeoffs.__main__ import main
from tradeoffs.commands.compare import compare, run_folder
from tradeoffs.errors import InputError
from tradeoffs.evaluation.statistics import summarise
from tradeoffs.metrics import METRICS


def write_run(folder, aucs, variants=("frozen",), fid=10.0, config=None, code="c1", commit="abc", digest="d1"):
    """A finished run of one data set: AUC-ROC by sample id, one subject each; the other scores are 0.5."""
    table = pd.DataFrame({"id": list(aucs), "subject_id": list(aucs), "auc_roc": list(aucs.values())})
    table = table.assign(protocol="corrected", text="phrase", category="Edema", named=True, excluded="")
    table = table.assign(**{metric: 0.5 for metric in METRICS if metric != "auc_roc"})
    for variant in variants:
        own = folder / "evaluation/cxr" / variant
        (own / "seed0/final").mkdir(parents=True)
        table.to_csv(own / "seed0/final/localisation.csv", index=False)
        summarise([table], draws=10).to_csv(own / "localisation_summary.csv", index=False)
        fidelity = pd.DataFrame({"metric": ["fid_general", "n_real"], "value": [fid, 100]})
        fidelity.to_csv(own / "seed0/final/fidelity.csv", index=False)
    record = {"rule": "localise", "params": {"code": code}, "config": config or {"seeds": [0]}, "commit": commit}
    record |= {"python": "3.11.1", "packages": {"torch": "2.0"}, "device": "CPU", "outputs": {"made.csv": "x"}}
    record |= {"inputs": {"made.csv": "x", "data.csv": digest}}
    (folder / "provenance").mkdir()
    (folder / "provenance/localise.json").write_text(json.dumps(record))
    return folder


def row(table, **values):
    chosen = table[(table[list(values)] == pd.Series(values)).all(axis=1)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_scores_are_paired_and_what_does_not_pair_is_counted(tmp_path):
    a = write_run(tmp_path / "a", {"1": 0.5, "2": 0.6, "3": 0.1}, ["frozen", "old"])
    b = write_run(tmp_path / "b", {"1": 0.6, "2": 0.9, "4": 1.0, "5": 1.0}, fid=7.5)
    found = compare(a, b, draws=200, permutations=100)
    auc = row(found.localisation, group="macro", metric="auc_roc")
    assert auc["difference"] == pytest.approx((0.1 + 0.3) / 2)
    assert (auc["n"], auc["subjects"], auc["only_a"], auc["only_b"]) == (2, 2, 1, 2)
    assert (auc["low"], auc["high"]) == pytest.approx((0.1, 0.3))  # of two subjects
    assert (auc["a"], auc["b"]) == pytest.approx((0.4, 0.875))  # what each run reports of all its samples
    assert row(found.localisation, group="macro", metric="iou")["difference"] == 0
    fid = row(found.fidelity, metric="fid_general")
    assert (fid["a"], fid["b"], fid["difference"], fid["seeds_a"]) == (10.0, 7.5, -2.5, 1)
    assert found.unpaired == {"a": ["cxr/old"], "b": []}
    assert found.sources.empty


def test_what_the_runs_were_made_from_is_compared_by_their_records(tmp_path):
    a = write_run(tmp_path / "a", {"1": 0.5}, config={"training": {"steps": 3, "lr": 1.0}, "seeds": [0]})
    changed = {"training": {"steps": 4, "lr": 1.0}, "seeds": [0], "methods": {}}
    b = write_run(tmp_path / "b", {"1": 0.5}, config=changed, code="c2", commit="def", digest="d2")
    sources = compare(a, b, draws=2, permutations=2).sources
    assert sources.to_numpy().tolist() == [
        ["configuration", "training.steps", "3", "4"],
        ["commit", "git", "abc", "def"],
        ["code", "rule localise", "c1", "c2"],
        ["input file", "data.csv", "d1", "d2"],
        ["configuration", "methods", "(none)", "{}"],
    ]


def test_a_section_that_one_run_has_is_one_difference(tmp_path):
    both = {"variants": {"frozen": {"text": "impression", "seeds": None}}}
    mine = {"text": "sentences", "seeds": None, "tokens": {"one": True}}
    a = write_run(tmp_path / "a", {"1": 0.5}, config=both)
    b = write_run(tmp_path / "b", {"1": 0.5}, config={"variants": {**both["variants"], "mine": mine}})
    named = ["configuration", "variants.mine"]
    written = 'text: "sentences", tokens.one: true'
    assert compare(a, b, 2, 2).sources.to_numpy().tolist() == [[*named, "(none)", written]]
    assert compare(b, a, 2, 2).sources.to_numpy().tolist() == [[*named, written, "(none)"]]


def test_the_command_prints_and_writes_the_page(tmp_path, capsys):
    write_run(tmp_path / "a/results/demo", {"1": 0.5, "2": 0.7})
    write_run(tmp_path / "b/results/demo", {"1": 0.6, "2": 0.9}, commit="def")
    main(["compare", str(tmp_path / "a/results"), str(tmp_path / "b/results"), "--out", str(tmp_path / "out")])
    page = capsys.readouterr().out
    assert "| commit | git    | abc | def |" in page and "+0.150 [+0.100, +0.200]" in page
    assert (tmp_path / "out/compare.md").read_text() in page
    assert len(pd.read_csv(tmp_path / "out/localisation.csv")) == 2 * len(METRICS)


def test_folders_that_cannot_be_compared_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no run with a folder evaluation"):
        run_folder(tmp_path)
    write_run(tmp_path / "one", {"1": 0.5})
    write_run(tmp_path / "two", {"1": 0.5}, ["other"])
    with pytest.raises(InputError, match="holds the runs one, two; give the folder of one run"):
        run_folder(tmp_path)
    with pytest.raises(InputError, match="no variant of a data set in common"):
        compare(tmp_path / "one", tmp_path / "two")
    (tmp_path / "one/provenance/localise.json").unlink()
    with pytest.raises(InputError, match="one: has no records of its jobs"):
        compare(tmp_path / "one", tmp_path / "one")
