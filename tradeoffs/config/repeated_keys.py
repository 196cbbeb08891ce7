"""Keys that a configuration gives twice. YAML's readers keep the last one without a word, so such files are refused."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from tradeoffs.errors import InputError

_END_OF_VALUES = "-"  # the next option of a command line


def check_repeated_keys(files: Sequence[str | Path], command_line: Sequence[str]) -> None:
    """Raises InputError if a key stands twice in a section of a YAML or JSON file, or on the command line.

    command_line: Snakemake's, of which the entries of --config are looked at
    """
    for file in files:
        for key, line, earlier in _repeats(_composed(Path(file).read_text(encoding="utf-8"))):
            raise InputError(f"{file}, line {line}: {key} is given in line {earlier} too; keep one of them")
    seen: set[str] = set()
    for name, value in _config_entries(command_line):
        node = _composed(value)
        for key, _, _ in _repeats(node, f"{name}."):
            raise InputError(f"--config: {key} is given twice; keep one of them")
        for key in _leaves(node, name):
            if key in seen:
                raise InputError(f"--config: {key} is given twice; keep one of them")
            seen.add(key)


def _composed(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None  # who reads it for its values says so


def _repeats(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, int, int]]:
    """Dotted key, its line and that of the earlier one, of each key that its section has already."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeats(item, prefix)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in lines:
            yield prefix + name, line, lines[name]
        lines[name] = line
        yield from _repeats(value, f"{prefix}{name}.")


def _leaves(node: yaml.Node | None, key: str) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield from _leaves(value, f"{key}.{name.value}")
    else:
        yield key


def _config_entries(command_line: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names and values after --config (-C), or joined to it as in --config=name=value."""
    within = False
    for word in command_line:
        if word.startswith(_END_OF_VALUES):
            joined = re.fullmatch("(?:--config=|-C)(.+)", word, re.DOTALL)
            within = bool(joined) or word in ("--config", "-C")
            word = joined[1] if joined else ""
        if within and "=" in word:
            name, _, value = word.partition("=")
            yield name, value
