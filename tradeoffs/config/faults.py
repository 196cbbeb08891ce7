"""What is wrong with a configuration, in words that name the key and the remedy; and the schema in words."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tradeoffs.config.schema import Config
from tradeoffs.errors import InputError


@dataclass(frozen=True)
class Fault:
    """Something wrong that the configuration says or points to: its dotted key, what is wrong, and the remedy.

    remedy: "" where `what` is the message of an InputError, which names it
    """

    key: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.what}; {self.remedy}" if self.remedy else f"{self.key}: {self.what}"


def input_error(problems: Sequence[Fault | str]) -> InputError:
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"The configuration has {count}:", *(f"  {problem}" for problem in problems)]
    lines.append("Keys are set in config/config.yaml or with --config; config/README.md lists them all.")
    return InputError("\n".join(lines))


def _bare(annotation: Any) -> Any:
    """The type without its bounds and without "or null"."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        annotation = get_args(annotation)[0]
    return annotation


def _type_at(location: Sequence[str | int]) -> Any:
    """The type that the schema has for a location in the configuration, with its bounds."""
    found: Any = Config
    for part in location:
        bare = _bare(found)
        if get_origin(bare) is dict:
            found = get_args(bare)[1]
        elif get_origin(bare) is list:
            found = get_args(bare)[0]
        else:
            found = fields_of(bare)[str(part)].rebuild_annotation()
    return found


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A section's fields by their keys: Python has no name `from`."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _leaves(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any, str | None]]:
    """Every key of the schema that takes a value, as dotted key, default and description."""
    for name, field in fields_of(model).items():
        key, bare = prefix + name, _bare(field.annotation)
        if get_origin(bare) is dict:
            yield key, field.default, field.description
            value = _bare(get_args(bare)[1])
            if issubclass(value, BaseModel):
                yield from _leaves(value, f"{key}.<name>.")
        elif isinstance(field.default, BaseModel):
            yield from _leaves(bare, f"{key}.")
        else:
            yield key, field.default, field.description


def _expected(annotation: Any) -> str:
    """Words for the values that a type takes, such as "a whole number >= 1"."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        symbols = {Ge: ">=", Gt: ">", Le: "<=", Lt: "<", MultipleOf: "a multiple of"}
        bounds = [f"{symbols[type(m)]} {astuple(m)[0]}" for m in arguments if type(m) in symbols]
        return f"{_expected(arguments[0])} {' and '.join(bounds)}".rstrip()
    if origin in (Union, UnionType):
        return f"null or {_expected(arguments[0])}"
    if origin is Literal:
        return arguments[0] if len(arguments) == 1 else f"one of {', '.join(arguments)}"
    if origin is list:
        return f"a list, each {_expected(arguments[0])}"
    if origin is dict:
        value = _bare(arguments[1])
        return f"for each name {'a section' if issubclass(value, BaseModel) else _expected(arguments[1])}"
    if issubclass(annotation, BaseModel):
        return f"a section with the keys {', '.join(fields_of(annotation))}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[annotation]


def explain(problem: Mapping[str, Any]) -> str:
    """One problem that pydantic found, as "dotted key: what is wrong; remedy"."""
    location = [part for part in problem["loc"] if part != "[key]"]
    message = problem["msg"].removeprefix("Value error, ")
    if not location:
        return message
    key = ".".join(map(str, location))
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key; {_suggestion(location[:-1], location[-1])}"
    if problem["type"] == "value_error":
        return f"{key}: {message}"
    given = problem["input"]
    annotation, remedy = _type_at(location), ""
    if problem["type"] == "string_type" and not isinstance(given, (list, dict)):
        remedy = "; put it in quotes"  # YAML reads `run: 2024` as a number
    if get_origin(_bare(annotation)) is list:
        remedy = f"; write a list, such as {_example(annotation, given)}"
    return f"{key}: expected {_expected(annotation)}, given {json.dumps(given, default=str)}{remedy}"


def _example(annotation: Any, given: Any) -> str:
    """A list of that type as one writes it in YAML; of texts, the one that was given."""
    item = get_args(_bare(annotation))[0]
    if _bare(item) is str:
        return f"[{given if isinstance(given, str) else 'one, another'}]"
    values = get_args(_bare(item)) if get_origin(_bare(item)) is Literal else ("0", "1", "2")
    if values[0] == "0" and any(isinstance(bound, Ge) and bound.ge == 1 for bound in get_args(item)):
        values = ("1000", "2000")
    return f"[{', '.join(values)}]"


def close(name: str, known: Iterable[str]) -> list[str]:
    """The known names that `name` may be a slip of, at most three, the likeliest first."""
    return difflib.get_close_matches(name, list(known), n=3, cutoff=0.7)


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """A remedy for an unknown name: the one known name that is most like it, or all that are known."""
    known = list(known)
    similar = close(name, known)[:1]
    return f"did you mean {prefix}{similar[0]}?" if similar else f"known here: {', '.join(known)}"


def _suggestion(section: Sequence[str], name: str) -> str:
    """What an unknown key may mean: a like one in its section, the same one elsewhere, or any in its section."""
    beside = [".".join([*section, known]) for known in fields_of(_bare(_type_at(section)))]
    if close(name, [key.rpartition(".")[2] for key in beside]):
        return did_you_mean(name, [key.rpartition(".")[2] for key in beside], ".".join([*section, ""]))
    elsewhere = [key for key, _, _ in _leaves() if key.rpartition(".")[2] == name]
    if elsewhere:
        return f"did you mean {' or '.join(elsewhere)}?"
    return f"known here: {', '.join(beside)}"


def describe() -> str:
    """Every key with its values, default and description as a Markdown table; config/README.md holds it."""
    rows = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for key, default, description in _leaves():
        if isinstance(default, dict):
            default = {name: value.model_dump(exclude_defaults=True) for name, value in default.items()}
        values = _expected(_type_at(key.split(".")))
        shown = "needed" if default is PydanticUndefined else f"`{json.dumps(default)}`"
        rows.append(f"| `{key}` | {values} | {shown} | {description} |")
    return "\n".join(rows) + "\n"
