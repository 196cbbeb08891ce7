"""The kinds of values that the configuration takes, with what is said of a wrong one."""

import json
import os
import re
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo

from tradeoffs.data.sets import DATA_SETS, Name
from tradeoffs.metrics import LOCATION_PRIOR, REAL_IMAGES


def _not_bool(value: Any) -> Any:
    # pydantic would read `steps: yes` as 1
    if isinstance(value, bool):
        raise ValueError(f"expected a number, given {json.dumps(value)}")
    return value


def _without_repeats(values: list) -> list:
    if len(set(values)) < len(values):
        raise ValueError(f"the list {json.dumps(values)} repeats a value; give each once")
    return values


def distinct(values: list) -> list:
    if not values:
        raise ValueError("the list is empty; give at least one value")
    return _without_repeats(values)


def folder_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        raise ValueError(f"{json.dumps(name)} cannot name a folder; use lower-case letters, digits, _ and - only")
    return name


def variant_name(name: str) -> str:
    if name in (LOCATION_PRIOR, REAL_IMAGES):
        raise ValueError("this name is reserved for rows of the tables that need no model; choose another")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError("use lower-case letters, digits and _ in this name, a letter first")
    return name


def set_name(name: str) -> str:
    if name in DATA_SETS:
        raise ValueError("this name is that of a data set of the run; choose another")
    if not re.fullmatch(r"[a-z][a-z0-9]*", name):  # figures are named <figure>_<set>
        raise ValueError("use lower-case letters and digits in this name, a letter first")
    return name


def _given(text: str) -> str:
    if not text:
        raise ValueError("the text is empty; give a value or leave the key out")
    return text


Whole = Annotated[int, BeforeValidator(_not_bool)]
Count = Annotated[Whole, Ge(1)]
Seed = Annotated[Whole, Ge(0)]
Number = Annotated[float, BeforeValidator(_not_bool)]
Positive = Annotated[Number, Gt(0)]
Share = Annotated[Number, Ge(0), Le(1)]
Text = Annotated[str, AfterValidator(_given)]
PathText = Annotated[Text, AfterValidator(os.path.expanduser)]
Seeds = Annotated[list[Seed], AfterValidator(distinct)]
Sets = Annotated[list[Name], AfterValidator(distinct)]
Milestones = Annotated[list[Count], AfterValidator(_without_repeats)]


class Section(BaseModel):
    """A section of the configuration: no unknown key, no infinity, and unchanged once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, serialize_by_alias=True)


def at_most(value: int, info: ValidationInfo, limit_field: str, limit_key: str) -> int:
    """The value, where it is at most that of another field of its section; ValueError with the remedy if not."""
    limit = info.data.get(limit_field, value)  # absent where the other value is wrong itself, which is reported
    if value > limit:
        raise ValueError(f"{value} is more than {limit_key} ({limit}); lower it or raise the other")
    return value
