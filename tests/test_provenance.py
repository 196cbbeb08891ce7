import ast
import json
from importlib.metadata import version

import pytest

from tradeoffs.provenance import code, records

TREE = {
    "workflow_scripts/model/train.py": "import tradeoffs.model.training\nimport numpy\n",
    "workflow_scripts/sampling/draw.py": "from tradeoffs.data import images, tables\n",
    "tradeoffs/__init__.py": "",
    "tradeoffs/model/training.py": "def late():\n    from tradeoffs.model.text import tokenize\n",
    "tradeoffs/model/__init__.py": "",
    "tradeoffs/model/text.py": "from tradeoffs.errors import InputError\nimport tradeoffs.model.training\n",  # a circle
    "tradeoffs/errors.py": "class InputError(ValueError): pass\n",
    "tradeoffs/data/__init__.py": "",
    "tradeoffs/data/images.py": "",
    "tradeoffs/data/tables.py": "",
    "tradeoffs/unused.py": "",
}
USED = {
    "model/train.py": {
        "workflow_scripts/model/train.py",
        "tradeoffs/model/training.py",
        "tradeoffs/model/text.py",
        "tradeoffs/errors.py",
    },
    "sampling/draw.py": {
        "workflow_scripts/sampling/draw.py",
        "tradeoffs/data/__init__.py",
        "tradeoffs/data/images.py",
        "tradeoffs/data/tables.py",
    },
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    root = tmp_path / "project"
    for name, content in TREE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    move_to(root, monkeypatch)
    return root


def move_to(root, monkeypatch):
    monkeypatch.setattr(code, "ROOT", root)
    monkeypatch.setattr(code, "SCRIPTS", root / "workflow_scripts")


def digest(script):
    code.code_digest.cache_clear()
    code._imported_files.cache_clear()
    return code.code_digest(script)


@pytest.fixture(autouse=True)
def _forget_temporary_trees():
    yield
    code.code_digest.cache_clear()
    code._imported_files.cache_clear()


@pytest.mark.parametrize("script", USED)
def test_digest_changes_with_the_code_in_use_and_only_then(tree, script):
    before = digest(script)
    optional = {name for name in TREE if name.endswith("__init__.py")}
    changing = set()
    for name, content in TREE.items():
        (tree / name).touch()
        assert digest(script) == before
        (tree / name).write_text(content + "# changed\n")
        if digest(script) != before:
            changing.add(name)
        (tree / name).write_text(content)
    assert changing - optional == USED[script] - optional and digest(script) == before


def test_digest_does_not_depend_on_the_place(tree, tmp_path, monkeypatch):
    before = digest("model/train.py")
    move_to(tree.rename(tmp_path / "elsewhere"), monkeypatch)
    assert digest("model/train.py") == before


def test_no_import_escapes_the_digest():
    """Relative and computed imports would."""
    for file in [*code.SCRIPTS.rglob("*.py"), *(code.ROOT / code.PACKAGE).rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{file}: relative import"
            assert not (isinstance(node, ast.Name) and node.id in ("__import__", "importlib")), (
                f"{file}: computed import"
            )


def test_the_json_beside_a_table_has_config_seeds_commit_counts_and_versions(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "commit", lambda: "abc")
    config = {"seeds": [0, 1], "variants": {"frozen": {"seeds": None}, "pretrained": {"seeds": [0]}}}
    for name in ("1.json", "2.json"):
        code.write_sidecar(tmp_path / name, {}, config, {"images_counts": {"read": 5, "kept": 4}})
    content = json.loads((tmp_path / "1.json").read_text())
    assert content["config"] == config and content["commit"] == "abc"
    assert content["seeds"] == {"frozen": [0, 1], "pretrained": [0]}
    assert content["counts"] == {"images_counts": {"read": 5, "kept": 4}}
    assert content["packages"]["torch"] == version("torch") and "diffusers" in content["packages"]
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()
