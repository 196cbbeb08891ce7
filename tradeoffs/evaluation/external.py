"""Heat maps of other methods (BioViL and the like), which are scored like the attention maps."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import is_zipfile

import numpy as np
import pandas as pd

from tradeoffs.errors import InputError
from tradeoffs.evaluation.localisation import Sample, SampleMap
from tradeoffs.evaluation.queries import IMAGE_MAP, Excluded
from tradeoffs.files import UNREADABLE_NPZ

_REMEDY = (
    "write it with numpy.savez(path, id=numpy.array(ids, dtype=str), heat=heat), heat being n maps of numbers, "
    "(n, h, h) with at least 3 x 3 pixels"
)


@dataclass(frozen=True)
class External:
    """method: its display name, None if the file gives none; maps: heat maps (h, h) by phrase_id or sample_id.

    A map covers what the models see of an image: the central square after the shorter side was resized.
    """

    method: str | None
    maps: dict[str, np.ndarray]


def read_external(path: str | Path, grounding: pd.DataFrame | None) -> External:
    """Reads an `.npz` with `id` (n strings: phrase_ids or sample_ids of the grounding table), `heat` (n, h, h; higher
    is hotter, in any unit) and optionally `method` (a string, or n equal ones). Pickles are not loaded. Without a
    grounding table (None) the ids may be any.

    Maps that are not finite are kept; scoring excludes them with a reason.
    Raises InputError for a file of another form or with another array, an id that occurs twice, or one that the
    grounding table lacks.
    """
    data = _read_arrays(path)
    ids, heat = data["id"], data["heat"]
    if ids.ndim != 1 or ids.dtype.kind != "U":
        raise InputError(f"{path}: id is no list of strings (it has shape {ids.shape}, type {ids.dtype}); {_REMEDY}")
    if heat.ndim != 3 or not len(heat) or min(heat.shape[1:]) < 3:  # scoring filters 3 x 3 pixels at once
        raise InputError(f"{path}: heat has the shape {heat.shape}; {_REMEDY}")
    if heat.shape[1] != heat.shape[2]:
        raise InputError(
            f"{path}: its heat maps are {heat.shape[1]} x {heat.shape[2]}, but a map covers the central square of an "
            "image, which is what the models see; crop the maps to it and give as many rows as columns"
        )
    if heat.dtype.kind not in "fiub":
        raise InputError(f"{path}: heat holds no real numbers but {heat.dtype}; {_REMEDY}")
    if len(ids) != len(heat):
        raise InputError(f"{path}: has {len(ids)} ids and {len(heat)} heat maps; give each map its id")
    names = pd.Series(ids)
    _reject_ids(path, names[names.duplicated()], "occurs more than once; give one map per id")
    if grounding is not None:
        known = names.isin(grounding["phrase_id"]) | names.isin(grounding["sample_id"])
        _reject_ids(path, names[~known], "is no phrase_id and no sample_id of the grounding table; use its ids")
    maps = heat.astype(np.float64)  # means of several are taken
    return External(_method(path, data.get("method")), dict(zip(names, maps, strict=True)))


def external_maps(external: External, grounding: pd.DataFrame) -> Callable[[Sample], SampleMap]:
    """What gives the heat map of a sample of the grounding table, or raises Excluded where the file has none.

    A phrase has the map of its phrase_id. An impression or caption, which an image has once for each category, has the
    mean over the maps of the image's phrases of that category. Without any, both have the map of their sample_id, and
    the query says so.
    """
    phrases = grounding.groupby(["sample_id", "category"])["phrase_id"].agg(list).to_dict()

    def map_of(sample: Sample) -> SampleMap:
        per_image = sample.id == sample.sample_id
        ids = phrases[sample.sample_id, sample.category] if per_image else [sample.id]
        found = [external.maps[i] for i in ids if i in external.maps]
        if found:
            return SampleMap(np.mean(found, axis=0))
        if sample.sample_id in external.maps:
            return SampleMap(external.maps[sample.sample_id], IMAGE_MAP)
        raise Excluded("no heat map")

    return map_of


def _read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file; correct its path or {_REMEDY}")
    if not is_zipfile(path):
        raise InputError(f"{path}: is no .npz; {_REMEDY}")
    try:
        with np.load(path, allow_pickle=False) as stored:
            unread = sorted({*stored.files} - {"id", "heat", "method"})
            if unread:
                raise InputError(
                    f"{path}: holds the array {unread[0]!r}, which is not read; leave it out, or {_REMEDY}"
                )
            data = {name: stored[name] for name in stored.files}
    except UNREADABLE_NPZ as error:
        raise InputError(f"{path}: cannot be read ({error}); {_REMEDY}") from error
    for name in ("id", "heat"):
        if name not in data:
            raise InputError(f"{path}: has no array {name!r}; {_REMEDY}")
        if not isinstance(data[name], np.ndarray):
            raise InputError(f"{path}: {name} is damaged; {_REMEDY}")
    return data


def _reject_ids(path: str | Path, ids: pd.Series, fault: str) -> None:
    if len(ids):
        raise InputError(f"{path}: the id {ids.iloc[0]!r} {fault} (such ids: {ids.nunique()})")


def _method(path: str | Path, method: np.ndarray | None) -> str | None:
    if method is None:
        return None
    names = np.unique(method)
    if method.dtype.kind != "U" or len(names) != 1 or not names[0].strip():
        found = ", ".join(map(repr, names[:3].tolist()))
        raise InputError(f"{path}: method is no single name ({found}); give one, and each method a file of its own")
    return str(names[0]).strip()
