"""The layers of the configuration, later ones win: the schema's defaults, config/presets/<preset>.yaml,
config/config.yaml, snakemake's --config."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tradeoffs.config.faults import Fault, did_you_mean, explain, input_error
from tradeoffs.config.schema import Config
from tradeoffs.config.sections.model import VARIANTS
from tradeoffs.errors import InputError


def resolve(user: Mapping[str, Any], presets_dir: str | Path) -> Config:
    """Lays `user` (snakemake's `config`: config.yaml and --config) over its preset and the defaults, and validates.

    A relative path of a default or preset starts at the workflow's folder, one of the user's at the working directory.
    A key without a value (null) is as if it were not there. Raises InputError with one message that lists each
    problem as dotted key, what is wrong, remedy.
    """
    preset = user.get("preset") or Config.model_fields["preset"].default
    merged = _merge(Config().dump(), _read_preset(preset, Path(presets_dir)))
    for section, key in (("data", "sentences"), ("base", "source")):
        merged[section][key] = _at_home(merged[section][key], Path(presets_dir).parents[1])
    known_variants = set(merged["variants"])
    of_user = user.get("variants")
    of_user = of_user if isinstance(of_user, Mapping) else {}
    merged["variants"] |= {
        name: variant.model_dump(mode="json")
        for name, variant in VARIANTS.items()
        if merged["variants"].get(name) is False and isinstance(of_user.get(name), Mapping)
    }  # taken up again after the preset left it out
    merged = _merge(merged, user)
    merged |= {"preset": preset, "run": merged["run"] or preset}
    unknown = []
    if isinstance(merged["variants"], Mapping):
        # snakemake hands nested values of --config on as text, hence "false"
        left_out = {name for name, variant in merged["variants"].items() if str(variant).lower() == "false"}
        unknown = [_no_such_variant(name, known_variants) for name in sorted(left_out - known_variants)]
        merged["variants"] = {name: entry for name, entry in merged["variants"].items() if name not in left_out}
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        raise input_error([*unknown, *(explain(problem) for problem in error.errors())]) from None
    if unknown:
        raise input_error(unknown)
    return config


def _no_such_variant(name: str, known: Collection[str]) -> Fault:
    """Of a variant that is to be left out and is not there."""
    return Fault(f"variants.{name}", "there is no variant of this name to leave out", did_you_mean(name, known))


def _at_home(path: str, home: Path) -> str:
    """A default's path to something that ships with the workflow, seen from the working directory; another as it is."""
    return str(home / path) if (home / path).exists() and Path.cwd() != home.resolve() else path


def _read_preset(name: Any, folder: Path) -> dict[str, Any]:
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in known:
        given = json.dumps(name, default=str)
        raise input_error([f"preset: there is no preset {given}; choose one of {', '.join(known)}"])
    file = folder / f"{name}.yaml"
    try:
        preset = yaml.safe_load(file.read_text()) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{file}: not valid YAML, correct it: {error}") from error
    if not isinstance(preset, dict):
        raise InputError(f"{file}: expected keys with values (`key: value`), correct it")
    return preset


def _merge(below: Mapping[str, Any], above: Mapping[Any, Any]) -> dict[str, Any]:
    """`above` laid over `below`, sections key by key; null in `above` hides nothing."""
    merged = dict(below)
    for key, value in above.items():
        key = str(key)  # YAML reads `on:` as true
        if isinstance(value, Mapping):
            section = merged.get(key)
            merged[key] = _merge(section if isinstance(section, Mapping) else {}, value)
        elif value is not None or key not in merged:
            merged[key] = value
    return merged
