import io

import numpy as np
import pytest

from tradeoffs.errors import InputError
from tradeoffs.heatmaps import TokenHeatMaps, load_heat_maps, save_heat_maps


def maps(name, *tokens):
    k = len(tokens)
    heat = np.random.default_rng(k).random((k, 3, 2), dtype=np.float32)
    spans = np.arange(2 * k).reshape(k, 2)
    return TokenHeatMaps(name, f"Röntgen, text of {name}: NA", list(tokens), spans, heat, truncated_at=40 + k)


def test_round_trip(tmp_path):
    written = [maps("a-1", "left</w>", "effusion</w>"), maps("none"), maps("b-1", "ödem</w>")]
    save_heat_maps(tmp_path / "phrase_0.npz", written[:2])
    save_heat_maps(tmp_path / "phrase_1.npz", written[2:])
    read = load_heat_maps([tmp_path / "phrase_0.npz", tmp_path / "phrase_1.npz"])
    assert list(read) == ["a-1", "none", "b-1"]
    for expected in written:
        found = read[expected.id]
        assert (found.id, found.text, found.tokens) == (expected.id, expected.text, expected.tokens)
        assert found.truncated_at == expected.truncated_at
        np.testing.assert_array_equal(found.spans, expected.spans)
        np.testing.assert_array_equal(found.heat, expected.heat)
        assert found.heat.dtype == np.float32 and found.heat.shape == (len(expected.tokens), 3, 2)
    assert list(load_heat_maps(tmp_path / "phrase_1.npz")) == ["b-1"]


def test_same_maps_same_bytes(tmp_path):
    for name in ("1.npz", "2.npz"):
        save_heat_maps(tmp_path / name, [maps("a-1", "left</w>")])
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


def test_shard_without_maps(tmp_path):
    save_heat_maps(tmp_path / "phrase_9.npz", [])  # more shards than images
    assert load_heat_maps(tmp_path / "phrase_9.npz") == {}


def test_same_id_twice(tmp_path):
    for name in ("1.npz", "2.npz"):
        save_heat_maps(tmp_path / name, [maps("a-1", "left</w>")])
    with pytest.raises(InputError, match=r"2\.npz: id 'a-1' is in another file"):
        load_heat_maps([tmp_path / "1.npz", tmp_path / "2.npz"])


@pytest.mark.parametrize("content", ["text", "empty", "cut off", "other arrays", "pickled", "absent"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "phrase_0.npz"
    save_heat_maps(path, [maps("a-1", "left</w>")])
    other, pickled = io.BytesIO(), io.BytesIO()
    np.savez(other, heat=np.zeros(3))
    np.savez(pickled, **(dict(np.load(path)) | {"id": np.array([None])}))
    contents = {
        "text": b"heat maps",
        "empty": b"",
        "cut off": path.read_bytes()[:-50],
        "other arrays": other.getvalue(),
        "pickled": pickled.getvalue(),
    }
    path.unlink()
    if content in contents:
        path.write_bytes(contents[content])
    with pytest.raises(InputError, match=r"phrase_0\.npz: not a file of token heat maps"):
        load_heat_maps(path)
