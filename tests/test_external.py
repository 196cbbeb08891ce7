import zipfile

import numpy as np
import pandas as pd
import pytest

from tradeoffs.data.tables import write_table
from tradeoffs.errors import InputError
from tradeoffs.evaluation.external import External, external_maps, read_external
from tradeoffs.evaluation.localisation import samples, score_samples
from tradeoffs.evaluation.queries import Excluded
from tradeoffs.protocols import CORRECTED, PUBLISHED

GROUNDING = pd.DataFrame(
    [
        ["a-1", "a", "s1", "Edema", "mild edema"],
        ["a-2", "a", "s1", "Edema", "right edema"],
        ["a-3", "a", "s1", "Pneumonia", "left pneumonia"],
        ["b-1", "b", "s2", "Pneumonia", "pneumonia"],
    ],
    columns=["phrase_id", "sample_id", "subject_id", "category", "phrase"],
).assign(
    path="x.jpg",
    boxes=[[[0.0, 0.0, 4.0, 4.0]]] * 4,
    image_width=64,
    image_height=64,
    text="Edema, pneumonia.",
    mask="",
    part="test",
)
GROUNDING["text_id"] = GROUNDING["sample_id"]
IDS = np.array(["a-1", "b"])
HEAT = np.arange(2 * 3 * 3, dtype=np.float32).reshape(2, 3, 3)

LEFT_HALF, LAST_COLUMN = [[0, 0, 2, 4]], [[3, 0, 1, 4]]  # of a 4 x 4 image


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def constant(*values):
    return {name: np.full((3, 3), value, dtype=np.float32) for name, value in values}


def by_sample(maps, text, protocol=CORRECTED):
    """What each sample of the grounding table gets: the constant of its map, or None."""
    map_of = external_maps(External(None, maps), GROUNDING)
    found = {}
    for sample in samples(GROUNDING, text, protocol, 64):
        try:
            heat = map_of(sample).heat
        except Excluded:
            found[sample.id, sample.category] = None
        else:
            assert heat.shape == (3, 3) and (heat == heat[0, 0]).all()
            found[sample.id, sample.category] = float(heat[0, 0])
    return found


# --- reading ------------------------------------------------------------------------------------------------------


def test_maps_are_read_by_id(tmp_path):
    external = read_external(npz(tmp_path / "x.npz", id=IDS, heat=HEAT), GROUNDING)
    assert external.method is None
    assert external.maps.keys() == {"a-1", "b"}
    np.testing.assert_array_equal(external.maps["a-1"], [[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    np.testing.assert_array_equal(external.maps["b"], [[9, 10, 11], [12, 13, 14], [15, 16, 17]])


@pytest.mark.parametrize("method", ["BioViL", " BioViL ", np.array(["BioViL", "BioViL"])])
def test_the_method_is_one_name(tmp_path, method):
    path = npz(tmp_path / "x.npz", id=IDS, heat=HEAT, method=method)
    assert read_external(path, GROUNDING).method == "BioViL"


def test_the_mean_of_maps_in_half_precision_is_not_rounded_to_it(tmp_path):
    heat = np.array([1.0, 1 + 2**-10], np.float16).repeat(9).reshape(2, 3, 3)
    external = read_external(npz(tmp_path / "x.npz", id=np.array(["a-1", "a-2"]), heat=heat), None)
    assert np.mean([*external.maps.values()]) == 1 + 2**-11


def test_maps_that_are_not_finite_are_kept(tmp_path):
    external = read_external(npz(tmp_path / "x.npz", id=IDS, heat=HEAT * np.nan), GROUNDING)
    assert np.isnan(external.maps["b"]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, "has no array 'id'; write it with"),
        ({"heat": None}, "has no array 'heat'; write it with"),
        ({"heat": HEAT[0]}, r"heat has the shape \(3, 3\); write"),
        ({"heat": HEAT[None]}, r"heat has the shape \(1, 2, 3, 3\); write"),
        ({"heat": HEAT[:0], "id": IDS[:0]}, r"heat has the shape \(0, 3, 3\); write"),
        ({"heat": HEAT[:, :2]}, r"heat has the shape \(2, 2, 3\); write"),
        (
            {"heat": np.ones((2, 7, 21))},
            "its heat maps are 7 x 21, but a map covers the central square .*; crop the maps",
        ),
        ({"heat": HEAT.astype(str)}, "heat holds no real numbers but <U"),
        ({"heat": HEAT.astype(complex)}, "heat holds no real numbers but complex128"),
        ({"heat": HEAT.astype(object)}, "cannot be read .*allow_pickle.*; write"),
        ({"id": IDS.astype(object)}, "cannot be read .*allow_pickle.*dtype=str"),
        ({"id": np.array([1, 2])}, "id is no list of strings"),
        ({"id": IDS[:, None]}, r"id is no list of strings \(it has shape \(2, 1\)"),
        ({"id": np.array(["a", "b", "a-1"])}, "has 3 ids and 2 heat maps; give each map its id"),
        ({"id": np.array(["b", "b"])}, r"the id 'b' occurs more than once; give one map per id \(such ids: 1\)"),
        (
            {"id": np.array(["a-9", "c"])},
            r"the id 'a-9' is no phrase_id and no sample_id of the grounding table; use its ids \(such ids: 2\)",
        ),
        ({"method": np.array(["A", "B"])}, r"method is no single name \('A', 'B'\); give one, and each method a file"),
        ({"method": " "}, r"method is no single name \(' '\)"),
        ({"method": 3}, r"method is no single name \(3\)"),
        ({"Method": "A"}, "holds the array 'Method', which is not read; leave it out"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, change, message):
    arrays = {"id": IDS, "heat": HEAT} | change
    path = npz(tmp_path / "x.npz", **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(InputError, match=f"x.npz: {message}"):
        read_external(path, GROUNDING)


def test_files_that_are_no_npz_are_named(tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(InputError, match="x.npz: there is no such file; correct its path"):
        read_external(path, GROUNDING)
    path.write_text("not an archive")
    with pytest.raises(InputError, match="x.npz: is no .npz; write it with"):
        read_external(path, GROUNDING)
    with open(path, "wb") as file:
        np.save(file, HEAT)
    with pytest.raises(InputError, match="x.npz: is no .npz; write it with"):
        read_external(path, GROUNDING)


def test_a_damaged_npz_is_named(tmp_path):
    path = npz(tmp_path / "x.npz", id=IDS, heat=HEAT)
    with zipfile.ZipFile(path) as archive:
        content = archive.read("heat.npy")
    path.write_bytes(path.read_bytes().replace(content, content[:-1] + b"\xff"))  # its checksum no longer fits
    with pytest.raises(InputError, match="x.npz: cannot be read .*CRC.*; write it with"):
        read_external(path, GROUNDING)


# --- the map of a sample ------------------------------------------------------------------------------------------


def test_a_phrase_has_its_own_map_else_that_of_its_image():
    maps = constant(("a-1", 1), ("a-3", 3), ("a", 9))
    expected = {("a-1", "Edema"): 1, ("a-2", "Edema"): 9, ("a-3", "Pneumonia"): 3, ("b-1", "Pneumonia"): None}
    assert by_sample(maps, "phrase") == expected
    # in published a finding of an image is one sample, named after its first phrase
    del expected["a-2", "Edema"]
    assert by_sample(maps, "phrase", PUBLISHED) == expected


def test_an_impression_has_the_mean_of_its_phrases_else_the_map_of_its_image():
    maps = constant(("a-1", 1), ("a-2", 4), ("a", 9), ("b", 7))
    # mean (1 + 4) / 2 for edema; the image's own map for pneumonia, for whose phrase there is none
    expected = {("a", "Edema"): 2.5, ("a", "Pneumonia"): 9, ("b", "Pneumonia"): 7}
    assert by_sample(maps, "impression") == expected
    assert by_sample(constant(("a-2", 4)), "impression") == {
        ("a", "Edema"): 4,
        ("a", "Pneumonia"): None,
        ("b", "Pneumonia"): None,
    }


def test_what_is_not_finite_stays_so_in_a_mean():
    heat = external_maps(External(None, constant(("a-1", np.nan), ("a-2", 4))), GROUNDING)(
        samples(GROUNDING, "impression", CORRECTED, 64)[0]
    ).heat
    assert np.isnan(heat).all()


@pytest.mark.parametrize("text", ["phrase", "impression"])
def test_a_map_of_the_image_has_no_wrong_word(text):
    boxes = [LEFT_HALF, LEFT_HALF, LAST_COLUMN, LEFT_HALF]
    grounding = GROUNDING.assign(boxes=boxes, image_width=4, image_height=4)
    heat = np.tile([4.0, 1.0, 3.0, 2.0], (4, 1))
    maps = {"of the image": {"a": heat}, "of one phrase": {"a": heat, "a-3": heat[:, ::-1]}, "of both": {"a-1": heat}}
    maps["of both"]["a-3"] = heat[:, ::-1]
    scores = {
        name: score_samples(
            samples(grounding, text, CORRECTED, 4), external_maps(External(None, some), grounding), text, CORRECTED
        )
        for name, some in maps.items()
    }
    for name in ("of the image", "of one phrase"):
        own = scores[name][scores[name]["sample_id"] == "a"]
        assert own["auc_roc"].notna().all() and own[["wrong_word_auc", "specificity"]].isna().all(axis=None)
    assert set(scores["of one phrase"]["query"]) == {"", "image map"}
    assert scores["of both"]["specificity"].notna().sum() == 2


# --- the script ---------------------------------------------------------------------------------------------------


@pytest.fixture
def score(tmp_path, run_script):
    """Runs the script with maps of a's first edema and pneumonia, constant along columns; returns its output's path."""
    grounding, scores = tmp_path / "grounding.csv", tmp_path / "scores.csv"
    boxes = [LEFT_HALF, LEFT_HALF, LAST_COLUMN, LEFT_HALF]
    of_val = GROUNDING[-1:].assign(phrase_id="c-1", sample_id="c", text_id="c", part="val")  # may have a map
    rows = pd.concat([GROUNDING, of_val]).assign(boxes=[*boxes, LEFT_HALF], image_width=4, image_height=4)
    write_table(rows, grounding)
    heat = np.array([np.tile(columns, (4, 1)) for columns in ([4, 1, 3, 2], [0, 1, 2, 3], [0, 0, 0, 1])])
    maps = npz(tmp_path / "x.npz", id=np.array(["a-1", "a-3", "c-1"]), heat=heat, method="BioViL")

    def run(max_excluded):
        params = {
            "texts": ["phrase", "impression"],
            "protocols": ["corrected", "published"],
            "resolution": 4,
            "frame": "crop",
            "part": "test",
        }
        run_script(
            "score_external",
            input={"grounding": grounding, "heat_maps": maps},
            params=params,
            config={"evaluation": {"max_excluded": max_excluded}},
            wildcards={"method": "biovil"},
            output={"scores": scores},
        )
        return scores

    return run


def test_script_scores_each_text_in_each_protocol(score):
    table = pd.read_csv(score(max_excluded=0.5))
    assert (table["dataset"] == "cxr").all() and (table["variant"] == "biovil").all()
    assert table[["seed", "step"]].isna().all(axis=None)
    by_phrase = [("a-1", "Edema"), ("a-3", "Pneumonia"), ("b-1", "Pneumonia")]
    by_image = [("a", "Edema"), ("a", "Pneumonia"), ("b", "Pneumonia")]
    assert list(table[["text", "protocol", "id", "category"]].itertuples(index=False, name=None)) == [
        *[("phrase", "corrected", *row) for row in (by_phrase[0], ("a-2", "Edema"), *by_phrase[1:])],
        *[("phrase", "published", *row) for row in by_phrase],
        *[("impression", "corrected", *row) for row in by_image],
        *[("impression", "published", *row) for row in by_image],
    ]
    without_map = table["id"].isin(["a-2", "b-1", "b"])
    assert (table["excluded"] == "no heat map").tolist() == without_map.tolist()
    scored, excluded = table[~without_map], table[without_map]
    assert excluded["auc_roc"].isna().all() and scored["excluded"].isna().all()
    # edema on the left half: {4, 1} against {3, 2} is 2 of 4, where pneumonia has {0, 1} against {2, 3}: none
    # pneumonia on the last column: 3 beats all, where edema has 2 against {4, 1, 3}: 1 of 3
    edema = (scored["category"] == "Edema").to_numpy()
    np.testing.assert_allclose(scored["auc_roc"], np.where(edema, 1 / 2, 1), atol=1e-5)
    np.testing.assert_allclose(scored["wrong_word_auc"], np.where(edema, 0, 1 / 3), atol=1e-5)
    assert table[["query", "bare_auc", "wrong_prompt_auc"]].isna().all(axis=None)


def test_script_stops_where_too_many_maps_are_missing(score, tmp_path, capsys):
    with pytest.raises(SystemExit):
        score(max_excluded=0.49)
    fault = "x.npz: 2 of 4 samples excluded in the corrected protocol (no heat map: 2); correct the table or raise"
    assert fault in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "scores.csv").exists()
