import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from browser import measured, needs_chromium
from PIL import Image

from tradeoffs.attention.capture import TextOnImage, token_heat_maps
from tradeoffs.attention.exploring import token_views
from tradeoffs.attention.heat_maps import TokenHeatMaps, save_heat_maps
from tradeoffs.attention.views import from_heat_maps, load_views, save_views
from tradeoffs.data.tables import write_table
from tradeoffs.errors import InputError
from tradeoffs.evaluation.localisation import samples
from tradeoffs.metrics import METRICS
from tradeoffs.model.checkpoints import load
from tradeoffs.paper.explore import DataSet, render
from tradeoffs.protocols import CORRECTED

SIZE = 16


# --- the maps -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explored(tiny_base):
    """Views of two texts on the tiny base, and what `token_heat_maps` gives for them."""
    model = load(str(tiny_base))
    generator = np.random.default_rng(0)
    texts_on_images = [
        TextOnImage(name, name, text, torch.from_numpy(generator.normal(size=(4, 8, 8)).astype(np.float32)))
        for name, text in (("a", "edema"), ("b", "large effusion"))
    ]
    settings = {"seed": 0, "steps": 4, "keep": 3, "batch_size": 4}
    maps = {one.id: one for one in token_heat_maps(model, texts_on_images, **settings)}
    return list(token_views(model, texts_on_images, **settings)), maps


def test_the_first_view_is_the_heat_map_of_the_tables(explored):
    views, maps = explored
    assert [name for name, _, _ in views] == ["a", "b"]
    for name, others, (mean, *_) in views:
        count = len(maps[name].tokens)
        assert mean.kind == "mean" and others == ("start", "end", "padding")
        assert len(mean.maps) == count + 3
        np.testing.assert_allclose(mean.maps[:count], maps[name].heat, atol=1e-6)


def test_views_by_time_and_by_layer_average_to_the_mean(explored):
    for _, _, (mean, *others) in explored[0]:
        times = [view for view in others if view.kind == "time"]
        assert len(times) == 3 and times[0].name == "t = 501"
        np.testing.assert_allclose(np.mean([view.maps for view in times], axis=0), mean.maps, atol=1e-6)
        layers = [view for view in others if view.kind == "layer"]
        repeated = [view.maps.repeat(8 // view.maps.shape[1], 1).repeat(8 // view.maps.shape[2], 2) for view in layers]
        np.testing.assert_allclose(np.mean(repeated, axis=0), mean.maps, atol=1e-6)


def test_views_are_read_as_they_were_written(explored, tmp_path):
    views, maps = explored
    save_views(tmp_path / "maps.npz", views[:1])
    found = load_views(tmp_path / "maps.npz", maps)
    assert found["a"].others == ("start", "end", "padding") and len(found["a"].views) == len(views[0][2])
    for written, read in zip(views[0][2], found["a"].views, strict=True):
        assert (read.name, read.kind) == (written.name, written.kind)
        np.testing.assert_allclose(read.maps, written.maps, atol=1e-3)
    assert [view.kind for view in found["b"].views] == ["mean"]  # not among those in the file
    (tmp_path / "maps.npz").write_text("no arrays")
    with pytest.raises(InputError, match=r"maps\.npz: not a file of maps to explore"):
        load_views(tmp_path / "maps.npz", maps)


# --- the page -----------------------------------------------------------------------------------------------------

AUCS = [0.7, 0.9, 0.5]  # of frozen; learnable has 0.1 less, and no score of the last sample


@pytest.fixture
def tables(tmp_path):
    """Grounding table and scores of three samples."""
    rows, scores = [], []
    for k, category in enumerate(["Edema", "Edema", "Pneumonia"]):
        Image.new("L", (SIZE, SIZE), 60 * k + 40).save(tmp_path / f"{k}.png")
        rows.append(
            (f"s{k}-1", f"s{k}", f"p{k}", category, f"some {category} </script>", [[8, 0, 8, 8]], SIZE, SIZE, "")
        )
        for variant, less in (("frozen", 0), ("learnable", 0.1), ("location_prior", 0.3)):
            row = dict.fromkeys(METRICS, np.nan) | {"variant": variant, "id": f"s{k}-1", "category": category}
            scores.append(row | {"auc_roc": AUCS[k] - less, "excluded": np.nan})
    scores[-2] |= {"auc_roc": np.nan, "excluded": "constant heat map"}
    columns = ["phrase_id", "sample_id", "subject_id", "category", "phrase", "boxes", "image_width", "image_height"]
    grounding = pd.DataFrame(rows, columns=[*columns, "mask"]).assign(text="")
    grounding["path"] = [str(tmp_path / f"{k}.png") for k in range(3)]
    return grounding, pd.DataFrame(scores)


@pytest.fixture
def data(tables):
    grounding, scores = tables
    listed = samples(grounding, "phrase", CORRECTED, SIZE)
    left = np.zeros((4, 4), np.float32)
    left[:, :2] = 1
    views = {
        one.id: from_heat_maps(
            TokenHeatMaps(
                one.id, one.text, ["some", one.category], np.array([[0, 4], [5, 14]]), np.stack([left, 1 - left]), 14
            )
        )
        for one in listed
    }
    paths = grounding.set_index("sample_id")["path"].to_dict()
    return DataSet("radiographs", "phrase", listed, paths, scores, {"frozen": views, "learnable": views})


def content(html):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S).group(1))


def test_the_page_holds_scores_controls_and_why_there_is_none(data):
    (one,) = content(render(True, [data], CORRECTED))["sets"]
    assert [sample["category"] for sample in one["samples"]] == ["Edema", "Edema", "Pneumonia"]
    frozen, learnable = one["samples"][2]["models"]
    assert frozen["scores"][0] == 0.5 and one["samples"][2]["prior"]["scores"][0] == pytest.approx(0.2)
    assert learnable["scores"][0] is None and learnable["excluded"] == "constant heat map"
    assert frozen["weights"] == [0, 1] and frozen["tokens"] == ["some", "Pneumonia"]


def test_the_page_is_bounded_and_takes_the_categories_in_turn(data):
    whole = render(True, [data], CORRECTED)
    size = len(json.dumps(content(whole)["sets"][0]["samples"][0]))
    (one,) = content(render(True, [data], CORRECTED, budget=int(2.5 * size)))["sets"]
    assert (len(one["samples"]), one["of"]) == (2, 3)
    assert [sample["category"] for sample in one["samples"]] == ["Edema", "Pneumonia"]


def test_the_page_needs_no_network_and_says_whose_images_it_holds(data):
    demo, real = (render(demo, [data], CORRECTED) for demo in (True, False))
    assert "default-src 'none'" in demo and not re.search(r"https?://", demo)
    assert "do not share images or texts" in real and "do not share" not in demo
    assert render(True, [data], CORRECTED) == demo


def test_the_script_writes_the_page_that_its_files_give(tables, data, tmp_path, run_script):
    grounding, scores = tables
    write_table(grounding, tmp_path / "grounding.csv")
    scores.assign(dataset="cxr", protocol="corrected", text="phrase").to_csv(tmp_path / "scores.csv", index=False)
    maps = {name: views.tokens for name, views in data.views["frozen"].items()}
    save_heat_maps(tmp_path / "maps.npz", {"phrase": list(maps.values())})
    save_views(tmp_path / "explored.npz", [])
    several = [str(tmp_path / "maps.npz")] * 2, [str(tmp_path / "explored.npz")] * 2
    about = {"title": "radiographs", "text": "phrase", "variants": ["frozen", "learnable"]}
    run_script(
        "explore",
        input={
            "cxr_grounding": str(tmp_path / "grounding.csv"),
            "cxr_heat_maps": several[0],
            "cxr_maps": several[1],
            "scores": [str(tmp_path / "scores.csv")],
        },
        params={"protocol": "corrected", "datasets": {"cxr": about}, "resolution": SIZE, "demo": True},
        output={"html": str(tmp_path / "explore.html")},
    )
    assert content((tmp_path / "explore.html").read_text()) == content(render(True, [data], CORRECTED))


WAIT = """
const until = async shown => { while (!shown()) await new Promise(done => setTimeout(done, 20)); };
const press = key => document.dispatchEvent(new KeyboardEvent("keydown", {key}));
const now = () => document.body.dataset.shown || "";
const pixels = k => [...document.querySelectorAll("canvas")[k].getContext("2d").getImageData(64, 200, 1, 1).data];
await until(() => now());
"""


@needs_chromium
def test_the_page_is_used_by_mouse_and_keyboard(data, tmp_path):
    (tmp_path / "explore.html").write_text(render(True, [data], CORRECTED))
    seen = measured(
        tmp_path / "explore.html",
        WAIT
        + """
const seen = {start: now(), hot: pixels(0)};
press("ArrowRight"); await until(() => now().includes("s1-1")); seen.next = now();
press("w"); await until(() => now().includes("s2-1")); seen.worst = now();
press("b"); await until(() => now().includes("s1-1")); seen.best = now();
document.querySelectorAll("#tokens button")[1].click();
await until(() => now().includes("/some/")); seen.token = pixels(0);
press("h"); await new Promise(done => setTimeout(done, 300)); seen.plain = pixels(0);
document.getElementById("category").value = "Pneumonia";
document.getElementById("category").dispatchEvent(new Event("change"));
await until(() => now().includes("s2-1"));
seen.learnable = document.querySelectorAll(".card p")[1].textContent;
seen.images = document.querySelectorAll("#list button").length;
return seen;""",
    )
    assert seen["start"] == "0/s0-1/Edema/the words asked for/all layers and times"
    assert [seen[name].split("/")[1] for name in ("next", "worst", "best")] == ["s1-1", "s2-1", "s1-1"]
    # at the left the words' map is cold and that of "some" hot; without a map the pixel is the image's grey, 100
    assert seen["hot"] != seen["token"] and seen["token"][0] > seen["token"][2]
    assert max(abs(value - 100) for value in seen["plain"][:3]) <= 2
    assert (seen["learnable"], seen["images"]) == ("constant heat map", 1)


@needs_chromium
@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_fits_its_window(data, tmp_path, width):
    (tmp_path / "explore.html").write_text(render(True, [data], CORRECTED))
    widths = measured(tmp_path / "explore.html", WAIT + "return document.documentElement.scrollWidth;", width=width)
    assert widths <= width
