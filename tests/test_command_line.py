"""The command `tradeoffs`."""

import subprocess
import sys

import numpy as np
import pytest
import yaml
from project import PROJECT, clean_environment

from tradeoffs.__main__ import main
from tradeoffs.config.layers import resolve


def said(capsys, *words: str) -> str:
    main(list(words))
    return capsys.readouterr().out


def test_it_says_what_it_can_do(tmp_path):
    run = subprocess.run([sys.executable, "-m", "tradeoffs", "--help"], cwd=PROJECT, capture_output=True, text=True)
    assert run.returncode == 0
    assert all(command in run.stdout for command in ("config", "keys", "check-model", "check-maps", "snakemake --list"))


def test_it_imports_from_anywhere_once_it_is_installed(tmp_path):
    """The README's first command installs the project itself (envs/requirements-no-deps.txt)."""
    assert "-e ." in (PROJECT / "envs/requirements-no-deps.txt").read_text().splitlines()
    environment = clean_environment(PYTHONPATH=str(PROJECT))  # as an editable installation does
    run = subprocess.run(
        [sys.executable, "-m", "tradeoffs", "config", "--preset", "paper"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0 and yaml.safe_load(run.stdout)["preset"] == "paper"


def test_config_is_that_of_a_run(capsys, tmp_path):
    (tmp_path / "mine.yaml").write_text("preset: smoke\nseeds: [7]\n")
    shown = yaml.safe_load(said(capsys, "config", "--file", str(tmp_path / "mine.yaml")))
    assert shown == resolve({"preset": "smoke", "seeds": [7]}, PROJECT / "config/presets").dump()
    shown = yaml.safe_load(said(capsys, "config", "--file", str(tmp_path / "mine.yaml"), "--preset", "paper"))
    assert (shown["preset"], shown["seeds"]) == ("paper", [7])


def test_a_mistake_is_one_error_without_a_traceback(capsys, tmp_path):
    (tmp_path / "mine.yaml").write_text("training: {stepz: 3}\n")
    with pytest.raises(SystemExit) as end:
        main(["config", "--file", str(tmp_path / "mine.yaml")])
    assert str(end.value).startswith("tradeoffs: ") and "training.stepz: unknown key" in str(end.value)


def test_check_model_loads_every_weight_and_says_what_it_is(capsys, tiny_base, tmp_path):
    told = said(capsys, "check-model", str(tiny_base))
    assert "unet: UNet2DConditionModel" in told and "64 px" in told and "predicts epsilon" in told
    with pytest.raises(SystemExit, match="no model_index.json"):
        main(["check-model", str(tmp_path)])
    with pytest.raises(SystemExit, match="owner/name: .*not downloaded; give its folder"):
        main(["check-model", "owner/name"])


def test_check_maps_reads_the_file_as_a_run_does(capsys, tmp_path):
    np.savez(tmp_path / "maps.npz", id=np.array(["a-1", "b-1"]), heat=np.ones((2, 10, 10)), method=np.array("BioViL"))
    told = said(capsys, "check-maps", str(tmp_path / "maps.npz"))
    assert "2 heat maps of 10 x 10 pixels (BioViL)" in told
    (tmp_path / "rubbish.npz").write_text("rubbish")
    with pytest.raises(SystemExit, match=r"rubbish\.npz: is no \.npz"):
        main(["check-maps", str(tmp_path / "rubbish.npz")])
