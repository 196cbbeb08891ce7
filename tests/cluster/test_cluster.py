"""The workflow on a real SLURM with two made-up GPUs, from the submission to the last table.

The chest radiographs of the smoke preset, so that it takes minutes; jobs that got a GPU compute on the CPU.
"""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from project import PROJECT, clean_environment, copy_project
from slurm_daemons import command, jobs, state_of, wait_for, warned

pytestmark = pytest.mark.xdist_group("cluster")

RUN_A_MODEL = {
    "latents",
    "finetune",
    "heat_maps",
    "attention_profile",
    "faithfulness",
    "samples",
    "classifier",
    "real_features",
    "fidelity",
}
ON_CPU_NODES = {
    "phantoms",
    "prepare_images",
    "base_model",
    "localise",
    "location_prior",
    "real_images_fidelity",
    "overlays",
}
FINE_TUNED = "results/smoke/model/cxr/frozen/seed0"
FINE_TUNE = f"{FINE_TUNED}/losses.csv"
CONFIG = [
    "preset=smoke",
    "data={sets: [cxr]}",
    "variants={sentences_learnable: false}",
    "training={steps: 60, checkpoint_every: 10}",
    "sampling={shards: 2}",
]
ONE_GPU = "resources={gpus: 1}"


def snakemake(folder: Path, *arguments: str, resources: str = ONE_GPU) -> subprocess.Popen:
    """Starts the workflow with the profile as it is, without the accounting database that the tests do not have."""
    waits = ["--slurm-status-command=squeue", "--slurm-init-seconds-before-status-checks=2", "--latency-wait=20"]
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--profile", "slurm", *waits, *arguments, "--config", *CONFIG, resources],
        cwd=folder,
        env=clean_environment(OMP_NUM_THREADS="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(head: subprocess.Popen, seconds: float = 900) -> str:
    """What a call of snakemake printed, when it has succeeded."""
    try:
        printed = head.communicate(timeout=seconds)[0]
    finally:
        head.kill()
    assert head.returncode == 0, printed[-6000:]
    return printed


@pytest.fixture(scope="module")
def finished(slurm, tmp_path_factory):
    """A copy of the project in which everything was made on SLURM, what snakemake printed, and the SLURM jobs."""
    folder = copy_project(tmp_path_factory.mktemp("cluster") / "project")
    printed = finish(snakemake(folder, "all"))
    return folder, printed, jobs()


@pytest.fixture
def without(finished, tmp_path):
    """Makes copies of the finished project without a file or folder of its results."""

    def copy(missing: str) -> Path:
        folder = tmp_path / "project"
        shutil.copytree(finished[0], folder, symlinks=True)
        path = folder / missing
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return folder

    return copy


def test_everything_is_made(finished):
    results = finished[0] / "results"
    rows = pd.read_csv(results / "table1.csv").set_index("variant")
    assert rows["auc_roc"].drop("real_images").notna().all()
    assert (results / "report.html").is_file()


def test_jobs_that_run_a_model_get_one_gpu_and_the_others_none(finished):
    got = {(job["rule"], job["Partition"], job.get("TresPerJob", "").replace("/", ":")) for job in finished[2]}
    assert got == {(rule, "gpu", "gres:gpu:1") for rule in RUN_A_MODEL} | {(rule, "cpu", "") for rule in ON_CPU_NODES}
    for benchmark in (finished[0] / "results/smoke/benchmarks").rglob("*.tsv"):
        name = benchmark.relative_to(finished[0] / "results/smoke/benchmarks").with_suffix(".log")
        seen = re.findall("^GPUs: (.*)$", (finished[0] / "logs/smoke" / name).read_text(), re.M)
        rule = pd.read_csv(benchmark, sep="\t").at[0, "rule_name"]
        assert len(seen) == (rule in RUN_A_MODEL) and set(seen) <= {"0", "1"}, name


def test_rules_ask_for_memory_and_time_themselves(finished):
    asked = {job["rule"]: (job["MinMemoryNode"], job["TimeLimit"]) for job in finished[2]}
    assert asked["localise"] == ("4000M", "02:00:00")
    assert asked["finetune"] == ("2000M", "00:10:00")


def test_jobs_of_one_rule_that_are_ready_together_are_one_job_array(finished):
    arrays = Counter((job["rule"], job["ArrayJobId"]) for job in finished[2] if "ArrayJobId" in job)
    assert {rule for (rule, _), size in arrays.items() if size > 1} >= {"latents", "samples"}


def test_no_job_ran_twice_and_nothing_is_left_to_do(finished):
    folder, _, done = finished
    assert all(job["JobState"] == "COMPLETED" for job in done)
    benchmarks = [pd.read_csv(path, sep="\t") for path in (folder / "results/smoke/benchmarks").rglob("*.tsv")]
    on_slurm = [rule for table in benchmarks for rule in table["rule_name"] if rule in RUN_A_MODEL | ON_CPU_NODES]
    assert len(done) == len(on_slurm)
    again = finish(snakemake(folder, "all"))
    assert "Nothing to be done" in again
    assert len(jobs()) == len(done)


def test_a_summary_of_times_and_gpu_hours_ends_the_run(finished):
    rows = [[cell.strip() for cell in row.split("|")] for row in re.findall(r"^\| (.+) \|$", finished[1], re.M)]
    column = rows[0].index("GPU time (h:mm:ss)")
    times = {row[0]: row[column] for row in rows}
    assert "0:00:00" == times["localise"] < times["finetune"] < times["all steps"]


def test_logs_of_slurm_are_kept_by_rule(finished):
    folder = finished[0] / "logs/slurm"
    assert {path.parts[len(folder.parts)] for path in folder.rglob("*.log")} == {
        f"rule_{rule}" for rule in RUN_A_MODEL | ON_CPU_NODES
    }


@pytest.fixture
def training(without):
    """Starts a fine-tuning on SLURM; returns its folder, Snakemake and the job once it has written a checkpoint."""
    heads = []

    def start(*arguments: str) -> tuple[Path, subprocess.Popen, str]:
        folder = without(FINE_TUNED)
        heads.append(snakemake(folder, *arguments, FINE_TUNE))
        wait_for("a checkpoint", lambda: any((folder / FINE_TUNED / "checkpoint").glob("step*/about.json")), 180)
        return folder, heads[-1], command("squeue", "-h", "-o", "%i").strip()

    yield start
    for head in heads:
        head.kill()


def assert_continued(folder: Path, undisturbed: Path) -> None:
    """The last fine-tuning went on from another one's checkpoint and ended with the weights of an undisturbed one."""
    log = (folder / "logs/smoke/model/cxr/frozen/seed0/finetune.log").read_text()
    assert re.search(r"resumed after step [1-9]", log)
    weights = [path.relative_to(folder) for path in (folder / FINE_TUNED).rglob("*.safetensors")]
    assert weights and all((folder / path).read_bytes() == (undisturbed / path).read_bytes() for path in weights)
    assert not (folder / FINE_TUNED / "checkpoint").exists()


def test_a_cancelled_fine_tuning_goes_on_when_asked_again(finished, training):
    folder, head, job = training("--retries=0")
    command("scancel", job)
    printed = head.communicate(timeout=180)[0]
    assert head.returncode != 0 and "CANCELLED" in printed
    finish(snakemake(folder, FINE_TUNE))
    assert_continued(folder, finished[0])


def test_a_fine_tuning_near_its_time_limit_is_tried_again_with_more_time_and_goes_on(finished, training):
    folder, head, job = training()
    command("scancel", "--signal=STOP", job)  # the warning comes within half a minute, in which it would be ready
    command("scontrol", "update", f"JobId={job}", "TimeLimit=2")  # minutes; the profile warns 5 before the end
    wait_for("the warning", lambda: warned(job))
    command("scancel", "--signal=CONT", job)
    finish(head)
    stopped, last = (by_id for by_id in jobs() if int(by_id["JobId"]) >= int(job))
    assert (stopped["JobState"], last["JobState"]) == ("FAILED", "COMPLETED")
    assert last["TimeLimit"] == "00:20:00"
    assert_continued(folder, finished[0])


def test_a_preempted_fine_tuning_is_requeued_and_goes_on(finished, training):
    folder, head, job = training("--retries=0")
    urgent = command(
        "sbatch", "--parsable", "--partition=urgent", "--gpus=2", "--output=/dev/null", "--wrap=true"
    ).strip()
    wait_for("the urgent job", lambda: state_of(urgent) == "COMPLETED")
    wait_for("the requeued job", lambda: state_of(job) == "PENDING")
    command("scontrol", "update", f"JobId={job}", "StartTime=now")  # without it SLURM waits two minutes
    finish(head)
    assert state_of(job) == "COMPLETED"
    assert_continued(folder, finished[0])


def test_a_job_that_outlived_its_snakemake_spoils_nothing_of_the_job_that_replaced_it(finished, training):
    folder, head, orphan = training()
    head.kill()
    command("scancel", "--signal=STOP", orphan)  # it wakes up when all is finished: the worst moment
    unlock = snakemake(folder, "--unlock")
    assert unlock.wait(60) == 0
    finish(snakemake(folder, FINE_TUNE))
    command("scancel", "--signal=CONT", orphan)
    wait_for("the end of the orphan", lambda: state_of(orphan) == "FAILED")
    assert_continued(folder, finished[0])


def test_a_fine_tuning_computes_on_several_gpus_of_its_node(without):
    folder = without(FINE_TUNED)
    finish(snakemake(folder, FINE_TUNE, resources="resources={gpus: 1, training_gpus: 2}"))
    assert max(jobs(), key=lambda job: int(job["JobId"]))["TresPerJob"] == "gres:gpu:2"
    assert "GPUs: 0, 1\n" in (folder / "logs/smoke/model/cxr/frozen/seed0/finetune.log").read_text()
    assert json.loads((folder / FINE_TUNED / "training.json").read_text())["processes"] == 2


def test_a_job_over_its_memory_is_tried_again_with_more(finished, without):
    before = len(jobs())
    latents = "results/smoke/model/cxr/latents/mscxr_0.safetensors"
    finish(snakemake(without(latents), latents, resources="resources={gpus: 1, mem_mb: 350}"))
    tried = sorted(jobs()[before:], key=lambda job: int(job["JobId"]))
    assert [job["MinMemoryNode"] for job in tried] == ["350M", "700M"]
    assert [job["JobState"] for job in tried] == ["FAILED", "COMPLETED"]


def test_the_line_for_several_nodes_is_one_that_slurm_takes(slurm):
    line = re.search(r"^sbatch (--nodes.*?) --wrap", (PROJECT / "docs/slurm.md").read_text(), re.M)[1]
    command("sbatch", "--test-only", "--partition=both", *line.split(), "--wrap=hostname")


def test_nothing_is_left_behind(finished):
    assert command("squeue", "-h") == ""
    projects = [path.parent.parent for path in finished[0].parent.parent.glob("*/project/logs/slurm")]
    assert len(projects) > 5  # the copies that the other tests disturbed are there too
    processes = [path.read_bytes().decode() for path in Path("/proc").glob("[0-9]*/cmdline")]
    for project in projects:
        assert not list((project / ".snakemake/locks").glob("*"))
        assert not [path for path in project.rglob("*") if path.name == "checkpoint" or ".tmp" in path.name]
        assert not [line for line in processes if str(project) in line]
