import io

import numpy as np
import pytest

from tradeoffs.attention.heat_maps import TokenHeatMaps, load_heat_maps, save_heat_maps
from tradeoffs.errors import InputError


def maps(name, *tokens):
    k = len(tokens)
    heat = np.random.default_rng(k).random((k, 3, 2), dtype=np.float32)
    spans = np.arange(2 * k).reshape(k, 2)
    return TokenHeatMaps(name, f"Röntgen, text of {name}: NA", list(tokens), spans, heat, truncated_at=40 + k)


def test_heat_maps_survive_writing_in_shards(tmp_path):
    written = [maps("a-1", "left</w>", "effusion</w>"), maps("none"), maps("b-1", "ödem</w>")]
    save_heat_maps(tmp_path / "heat_maps_0.npz", {"phrase": written[:2]})
    save_heat_maps(tmp_path / "heat_maps_1.npz", {"phrase": written[2:]})
    read = load_heat_maps([tmp_path / "heat_maps_0.npz", tmp_path / "heat_maps_1.npz"], "phrase")
    assert list(read) == ["a-1", "none", "b-1"]
    for expected in written:
        found = read[expected.id]
        assert (found.id, found.text, found.tokens) == (expected.id, expected.text, expected.tokens)
        assert found.truncated_at == expected.truncated_at
        np.testing.assert_array_equal(found.spans, expected.spans)
        np.testing.assert_array_equal(found.heat, expected.heat)
        assert found.heat.dtype == np.float32 and found.heat.shape == (len(expected.tokens), 3, 2)
    assert list(load_heat_maps(tmp_path / "heat_maps_1.npz", "phrase")) == ["b-1"]


def test_kinds_of_text_in_one_file_are_told_apart(tmp_path):
    shards = [tmp_path / "heat_maps_0.npz", tmp_path / "heat_maps_1.npz"]
    written = [
        {
            "phrase": [maps("a-1", "left</w>", "effusion</w>"), maps("a-2", "edema</w>")],
            "impression": [],
            "wrong_phrase": [maps("a-1", "right</w>", "lung</w>", "nodule</w>")],  # the same id under another text
        },
        {"phrase": [maps("b-1", "edema</w>")], "impression": [maps("b", "x", "y", "z", "w")], "wrong_phrase": []},
    ]
    for path, by_text in zip(shards, written, strict=True):
        save_heat_maps(path, by_text)
    assert list(load_heat_maps(shards, "phrase")) == ["a-1", "a-2", "b-1"]
    for text, expected in {
        "wrong_phrase": written[0]["wrong_phrase"][0],
        "impression": written[1]["impression"][0],
    }.items():
        ((name, found),) = load_heat_maps(shards, text).items()
        assert (name, found.tokens) == (expected.id, expected.tokens)
        np.testing.assert_array_equal(found.spans, expected.spans)
        np.testing.assert_array_equal(found.heat, expected.heat)
    assert load_heat_maps(shards, "wrong") == {}


def bytes_kept(found):
    """Of the arrays that the maps are, or are views of."""
    arrays = {id(array): array for array in (m.heat if m.heat.base is None else m.heat.base for m in found.values())}
    return sum(array.nbytes for array in arrays.values())


def test_no_other_maps_than_those_asked_for_stay_in_memory(tmp_path):
    by_text = {"phrase": [maps("a-1", "x"), maps("a-2", "y", "z")], "wrong_phrase": [maps("a-1", *"vwxyz" * 20)]}
    save_heat_maps(tmp_path / "1.npz", by_text)
    one = 3 * 2 * 4  # bytes of a token's map
    assert bytes_kept(load_heat_maps(tmp_path / "1.npz", "phrase")) == 3 * one
    some = load_heat_maps(tmp_path / "1.npz", "phrase", ["a-2", "c"])
    assert list(some) == ["a-2"] and bytes_kept(some) == 2 * one
    np.testing.assert_array_equal(some["a-2"].heat, by_text["phrase"][1].heat)


def test_same_maps_same_bytes(tmp_path):
    for name in ("1.npz", "2.npz"):
        save_heat_maps(tmp_path / name, {"phrase": [maps("a-1", "left</w>")]})
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


def test_shard_without_maps(tmp_path):
    save_heat_maps(tmp_path / "heat_maps_9.npz", {"phrase": [], "impression": []})  # more shards than images
    assert load_heat_maps(tmp_path / "heat_maps_9.npz", "phrase") == {}


def test_same_id_twice(tmp_path):
    for name in ("1.npz", "2.npz"):
        save_heat_maps(tmp_path / name, {"phrase": [maps("a-1", "left</w>")]})
    with pytest.raises(InputError, match=r"2\.npz: id 'a-1' is in another file"):
        load_heat_maps([tmp_path / "1.npz", tmp_path / "2.npz"], "phrase")


@pytest.mark.parametrize("content", ["text", "empty", "cut off", "other arrays", "no kinds", "pickled", "absent"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "heat_maps_0.npz"
    save_heat_maps(path, {"phrase": [maps("a-1", "left</w>")]})
    arrays = dict(np.load(path))
    other, no_kinds, pickled = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(other, heat=np.zeros(3))
    np.savez(no_kinds, **{name: array for name, array in arrays.items() if name != "kind"})
    np.savez(pickled, **(arrays | {"id": np.array([None])}))
    contents = {
        "text": b"heat maps",
        "empty": b"",
        "cut off": path.read_bytes()[:-50],
        "other arrays": other.getvalue(),
        "no kinds": no_kinds.getvalue(),
        "pickled": pickled.getvalue(),
    }
    path.unlink()
    if content in contents:
        path.write_bytes(contents[content])
    with pytest.raises(InputError, match=r"heat_maps_0\.npz: not a file of token heat maps"):
        load_heat_maps(path, "phrase")
