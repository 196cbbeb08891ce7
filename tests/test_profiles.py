"""The profiles for SLURM and for a workstation, as far as they can be checked without a cluster (see tests/cluster)."""

import re

import yaml
from project import PROJECT

from tradeoffs.config.schema import Config


def rules_with_a_gpu() -> set[str]:
    text = "\n".join(path.read_text() for path in (PROJECT / "rules").rglob("*.smk"))
    return {
        name for name, body in re.findall(r"^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", text, re.M | re.S) if "gpu=" in body
    }


def test_the_slurm_profile_lists_every_rule_that_runs_a_model():
    profile = (PROJECT / "slurm/config.yaml").read_text()
    assert set(re.findall(r"^  # (\w+): [&*]gpu$", profile, re.M)) | {"finetune"} == rules_with_a_gpu()


def test_rules_that_stay_on_the_login_node_run_no_model():
    listed = re.search(r"^localrules:\n((?:    \w+,\n)+)", (PROJECT / "Snakefile").read_text(), re.M)[1]
    assert not rules_with_a_gpu() & set(re.findall(r"\w+", listed))


def test_no_retry_asks_for_more_time_than_the_partitions_offer():
    partitions = yaml.safe_load((PROJECT / "slurm/partitions.yaml").read_text())["partitions"]
    days = int(partitions["gpu"]["max_runtime"].removesuffix("d"))
    assert Config().resources.max_runtime_minutes <= days * 24 * 60


def test_the_conda_environment_has_the_very_requirements():
    # conda's pip section takes no file: Snakemake moves the environment's file away from what lies beside it
    conda = yaml.safe_load((PROJECT / "envs/environment.yaml").read_text())["dependencies"][-1]["pip"]
    lines = (PROJECT / "envs/requirements.txt").read_text().splitlines()
    assert conda == [line.split("#")[0].strip() for line in lines if line.strip() and not line.startswith("#")]
