"""Where a base model comes from: a diffusers folder, a hub id, or a single checkpoint of the LDM code."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tradeoffs.errors import InputError
from tradeoffs.models import ldm
from tradeoffs.models.checkpoints import load, save_with


def materialise(kind: str, source: str, revision: str | None, folder: Path) -> None:
    """Writes the base as a complete diffusers folder with float32 weights to `folder`, after checking every weight.

    kind: "folder", "file" (a single LDM checkpoint) or "hub" (downloaded, the only step of the workflow
    that uses the network)
    """
    if kind == "file":
        ldm.convert(source, folder)
        return
    if kind == "folder":
        save_with(source, folder, load(source).networks)
        return
    with tempfile.TemporaryDirectory() as downloaded:
        _download(source, revision, Path(downloaded))
        save_with(downloaded, folder, load(downloaded).networks)


def _download(repository: str, revision: str | None, folder: Path) -> None:
    """Snapshot of a hub repository, in a process of its own: this one has the hub set offline."""
    code = (
        "import sys; from huggingface_hub import snapshot_download; "
        "snapshot_download(sys.argv[1], revision=sys.argv[2] or None, local_dir=sys.argv[3], "
        "allow_patterns=['model_index.json', '*/*.json', '*/*.txt', '*/*.safetensors'], "
        "ignore_patterns=['*fp16*', '*non_ema*'])"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "0"}
    run = subprocess.run(
        [sys.executable, "-c", code, repository, revision or "", str(folder)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    if run.returncode:
        reason = run.stderr.strip().splitlines()[-1] if run.stderr.strip() else "no reason given"
        raise InputError(
            f"base.source: {repository} could not be downloaded ({reason}); download it elsewhere and set base.source "
            "to its folder"
        )
