"""How the package is built."""

import re

from project import PROJECT


def test_stage_modules_do_not_import_snakemake():
    users = [
        path
        for path in (PROJECT / "tradeoffs").rglob("*.py")
        if re.search(r"^\s*(import|from) snakemake\b", path.read_text(), re.M)
    ]
    assert {path.parent.name for path in users} == {"provenance"}  # which no stage but verify
