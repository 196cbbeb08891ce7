"""The profiles for SLURM and for a workstation, as far as they can be checked without a cluster (see tests/cluster)."""

import re

from project import PROJECT


def rules_with_a_gpu() -> set[str]:
    text = "\n".join(path.read_text() for path in (PROJECT / "rules").glob("*.smk"))
    return {
        name for name, body in re.findall(r"^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", text, re.M | re.S) if "gpu=" in body
    }


def test_the_slurm_profile_lists_every_rule_that_runs_a_model():
    profile = (PROJECT / "slurm/config.yaml").read_text()
    assert set(re.findall(r"^  # (\w+): [&*]gpu$", profile, re.M)) | {"finetune"} == rules_with_a_gpu()


def test_rules_that_stay_on_the_login_node_run_no_model():
    listed = re.search(r"^localrules:\n((?:    \w+,\n)+)", (PROJECT / "Snakefile").read_text(), re.M)[1]
    assert not rules_with_a_gpu() & set(re.findall(r"\w+", listed))
