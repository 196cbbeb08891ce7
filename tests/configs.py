"""What the tests of the configuration share."""

from pathlib import Path

import pytest

from tradeoffs.config.layers import resolve
from tradeoffs.config.paths import check_paths
from tradeoffs.config.schema import Config
from tradeoffs.errors import InputError

CONFIG = Path(__file__).parents[1] / "config"
PRESETS = CONFIG / "presets"
DEFAULT_VARIANTS = [
    "pretrained",
    "frozen",
    "learnable",
    "labels_frozen",
    "labels_learnable",
    "sentences_frozen",
    "sentences_learnable",
]


def problems(user: dict) -> list[str]:
    """The problems listed in the error for `user`, without the lines around them."""
    with pytest.raises(InputError) as error:
        resolve(user, PRESETS)
    first, *listed, last = str(error.value).splitlines()
    assert first.startswith("The configuration has ")
    assert last == "Keys are set in config/config.yaml or with --config; config/README.md lists them all."
    return [line.strip() for line in listed]


def path_problems(config: Config) -> list[str]:
    with pytest.raises(InputError) as error:
        check_paths(config)
    return [line.strip() for line in str(error.value).splitlines()[1:-1]]


def write(folder: Path, *files: str) -> Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("")
    return folder
