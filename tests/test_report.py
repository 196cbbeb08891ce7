import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from browser import measured, needs_chromium
from PIL import Image

from tradeoffs.errors import InputError
from tradeoffs.paper.blocks import Block, PaperTable, to_json
from tradeoffs.paper.conclusion import conclusions, headline
from tradeoffs.paper.report import (
    Making,
    counts_block,
    exclusions_block,
    read_captions,
    read_figure,
    read_table,
    render,
    times_block,
)
from tradeoffs.paper.results import read_differences
from tradeoffs.provenance.code import write_sidecar

TITLES = {"cxr": "phantom radiographs", "coco": "phantom scenes"}


# --- the conclusion --------------------------------------------------------------------------------------------------


def difference(metric, value, low, high, p=0.004, dataset="cxr", **changed):
    text = {"cxr": "phrase", "coco": "caption"}[dataset]
    row = {"dataset": dataset, "frozen": "frozen", "learnable": "learnable", "protocol": "corrected", "text": text}
    row |= {"group": "macro", "metric": metric, "difference": value, "low": low, "high": high, "p": p}
    return row | {"n": 190, "subjects": 120} | changed


def score(variant, mean, low, high, dataset="cxr", **changed):
    text = {"cxr": "phrase", "coco": "caption"}[dataset]
    row = {"dataset": dataset, "variant": variant, "protocol": "corrected", "text": text, "pairs": "all"}
    return row | {"group": "macro", "metric": "auc_roc", "mean": mean, "sd": np.nan, "low": low, "high": high} | changed


def fids(frozen, learnable, metric="fid_general", dataset="cxr", n=160):
    return [
        {"dataset": dataset, "variant": variant, "seed": seed, "metric": metric, "value": value, "n": n}
        for variant, values in (("frozen", frozen), ("learnable", learnable))
        for seed, value in enumerate(values)
    ]


BETTER = [difference("auc_roc", 0.034, 0.012, 0.056), difference("specificity", 0.02, 0.005, 0.035)]
WORSE = [difference("auc_roc", -0.034, -0.056, -0.012), difference("specificity", -0.02, -0.035, -0.005)]
SAME = [difference("auc_roc", 0.003, -0.012, 0.018, p=0.71), difference("specificity", 0.0, -0.02, 0.02, p=1.0)]
ABOVE = [
    score("frozen", 0.81, 0.79, 0.83),
    score("learnable", 0.78, 0.76, 0.80),
    score("location_prior", 0.72, 0.70, 0.74),
]
NO_FID = pd.DataFrame(columns=["dataset", "variant", "seed", "metric", "value", "n"])
# learnable minus frozen: -8, -9, -10, mean -9, s.d. 1; t(0.975, 2) = 4.303, so the interval is -9 -+ 4.303 / sqrt(3)
LOWER = fids([110, 112, 111], [102, 103, 101])
HIGHER = fids([102, 103, 101], [110, 112, 111])


def found(differences=(), summaries=ABOVE, fidelity=(), titles=None):
    titles = titles or {"cxr": TITLES["cxr"]}
    differences = pd.DataFrame(differences) if differences else read_differences([])
    fidelity = pd.DataFrame(fidelity) if fidelity else NO_FID
    return conclusions(titles, pd.DataFrame(summaries), fidelity, differences)


@pytest.mark.parametrize(("sd", "verdict"), [(0.02, "more"), (0.04, "less")])  # 0.81 and 0.78 differ by 0.03
def test_the_spread_over_seeds_stands_beside_the_difference(sd, verdict):
    rows = [score("frozen", 0.81, 0.79, 0.83, sd=0.012), score("learnable", 0.78, 0.76, 0.80, sd=sd), ABOVE[2]]
    (conclusion,) = found(BETTER, rows)
    expected = f"standard deviation of 0.012 (frozen) and {sd:.3f} (learnable); the variants differ by {verdict} than"
    assert any(expected in sentence for sentence in conclusion.sentences)
    (conclusion,) = found(BETTER)
    assert not any("standard deviation" in sentence for sentence in conclusion.sentences)


def test_the_trade_off_appears():
    results = found(BETTER, fidelity=LOWER)
    assert headline(results) == (
        "On phantom radiographs the paper's trade-off appears: the frozen variant localises better, and the learnable "
        "variant has the lower FID."
    )
    auc, specificity, prior, fid = results[0].sentences
    assert auc == (
        "In AUC-ROC the frozen variant is better: frozen minus learnable is +0.034 (95 % interval +0.012 to +0.056, "
        "p = 0.004, 190 samples of 120 subjects)."
    )
    assert specificity.startswith("In specificity the frozen variant is better: frozen minus learnable is +0.020")
    assert prior == (
        "The location prior, which needs no model, has AUC-ROC 0.720 (95 % interval 0.700 to 0.740); frozen, at 0.810 "
        "(95 % interval 0.790 to 0.830), lies above it, and learnable, at 0.780 (95 % interval 0.760 to 0.800), lies "
        "above it."
    )
    # t = -9 sqrt(3) = -15.588 with 2 degrees of freedom, where p = 1 - t / sqrt(2 + t^2) = 0.00409
    assert fid == (
        "In the mean over seeds the FID is lower for learnable: learnable 102 (3 seeds), frozen 111 (3 seeds); the "
        "mean difference has the 95 % interval −11.48 to −6.516 (p = 0.004, paired t-test over 3 seeds)."
    )


FROZEN_BETTER, LEARNABLE_BETTER = (f"the {name} variant localises better" for name in ("frozen", "learnable"))
FROZEN_LOWER, LEARNABLE_LOWER = (f"the {name} variant has the lower FID" for name in ("frozen", "learnable"))
NO_LOCALISATION, NO_FID_DIFFERENCE = (f"no difference in {what} was found" for what in ("localisation", "FID"))
NOT_WHOLE = "cannot be judged as a whole"
UNTESTED = "the lower FID of the {} variant is not tested (too few seeds)"
TWO_FIDS = LOWER + fids([1.0, 1.1, 1.2], [2.0, 2.2, 2.1], "fid_domain")


@pytest.mark.parametrize(
    "differences, fidelity, verdict",
    [
        (SAME, fids([110, 103, 105], [109, 105, 104]), f"does not appear: {NO_LOCALISATION}, and {NO_FID_DIFFERENCE}"),
        (SAME, LOWER, f"appears in part: {NO_LOCALISATION}, and {LEARNABLE_LOWER}"),
        (SAME, HIGHER, f"goes the other way in part: {NO_LOCALISATION}, and {FROZEN_LOWER}"),
        (WORSE, HIGHER, f"goes the other way: {LEARNABLE_BETTER}, and {FROZEN_LOWER}"),
        (BETTER, HIGHER, f"does not appear: {FROZEN_BETTER}, and {FROZEN_LOWER}"),
        (WORSE, LOWER, f"does not appear: {LEARNABLE_BETTER}, and {LEARNABLE_LOWER}"),
        (BETTER, fids([110, 112], [102, 103]), f"{NOT_WHOLE}: {FROZEN_BETTER}, and {UNTESTED.format('learnable')}"),
        (BETTER, fids([102], [110]), f"{NOT_WHOLE}: {FROZEN_BETTER}, and {UNTESTED.format('frozen')}"),
        (WORSE, fids([102], [110]), f"{NOT_WHOLE}: {LEARNABLE_BETTER}, and {UNTESTED.format('frozen')}"),
        (
            BETTER,
            fids([102], [102]),
            f"{NOT_WHOLE}: {FROZEN_BETTER}, and the difference in FID is not tested (too few seeds)",
        ),
        (BETTER, [], f"{NOT_WHOLE}: {FROZEN_BETTER}, and there is no FID of both variants"),
        (BETTER, TWO_FIDS, f"appears in part: {FROZEN_BETTER}, and the two FIDs disagree"),
        ([BETTER[0], WORSE[1]], LOWER, f"appears in part: AUC-ROC and specificity disagree, and {LEARNABLE_LOWER}"),
        (
            [BETTER[0], SAME[1]],
            LOWER,
            f"appears: {FROZEN_BETTER} by AUC-ROC, though not by specificity, and {LEARNABLE_LOWER}",
        ),
        (
            [SAME[0], WORSE[1]],
            HIGHER,
            f"goes the other way: {LEARNABLE_BETTER} by specificity, though not by AUC-ROC, and {FROZEN_LOWER}",
        ),
        (BETTER[:1], LOWER, f"appears: {FROZEN_BETTER}, and {LEARNABLE_LOWER}"),
        ([], LOWER, "cannot be judged: frozen and learnable have no paired differences in localisation"),
    ],
)
def test_the_verdict_follows_from_both_halves_of_the_trade_off(differences, fidelity, verdict):
    assert found(differences, fidelity=fidelity)[0].verdict == verdict


def test_a_run_of_a_few_images_has_no_verdict():
    """As the smoke preset: 16 subjects, 12 samples; whatever the intervals and however many the seeds."""
    few = [row | {"subjects": 16} for row in BETTER]
    fidelity = fids([110, 112, 111], [102, 103, 101], n=12)
    (result,) = found(few, fidelity=fidelity)
    assert result.verdict == "cannot be judged: localisation was scored on 16 subjects, fewer than 30"
    assert result.sentences == (
        "In AUC-ROC frozen minus learnable is +0.034; 16 subjects are too few to judge by, which takes 30.",
        "In specificity frozen minus learnable is +0.020; 16 subjects are too few to judge by, which takes 30.",
        "In the mean over seeds the FID is lower for learnable: learnable 102 (3 seeds), frozen 111 (3 seeds); the "
        "difference is not tested, which takes 100 samples a model.",
    )
    (result,) = found(BETTER, fidelity=fidelity)
    assert (
        result.verdict
        == f"{NOT_WHOLE}: {FROZEN_BETTER}, and the lower FID of the learnable variant is not tested (too few samples)"
    )
    (result,) = found(
        [row | {"subjects": 30} for row in BETTER], fidelity=fids([110, 112, 111], [102, 103, 101], n=100)
    )
    assert result.verdict.startswith("appears: ")


def test_no_difference_is_not_called_equality():
    auc, specificity, *_ = found(SAME)[0].sentences
    assert auc == (
        "In AUC-ROC no difference was found: frozen minus learnable is +0.003 (95 % interval −0.012 to +0.018, "
        "p = 0.710, 190 samples of 120 subjects); an interval that includes 0 is no evidence of equality."
    )
    assert "frozen minus learnable is +0.000" in specificity


def test_a_bound_beside_zero_is_not_shown_as_zero():
    row = difference("auc_roc", 0.02, 0.0002, 0.04, p=0.0004)
    assert "+0.000200 to +0.040, p < 0.001" in found([row])[0].sentences[0]


@pytest.mark.parametrize(
    "frozen, words",
    [((0.73, 0.71, 0.75), "overlaps it"), ((0.60, 0.58, 0.62), "lies below it")],
)
def test_localisation_that_is_not_above_the_location_prior_does_not_count(frozen, words):
    result = found(BETTER, summaries=[score("frozen", *frozen), *ABOVE[1:]], fidelity=LOWER)[0]
    assert result.verdict.startswith(
        "appears in part: the frozen variant localises better, but is not shown to lie above the location prior, and"
    )
    assert re.search(rf"frozen, at {frozen[0]:.3f} \([^)]*\), {words}, and learnable", result.sentences[2])
    assert result.sentences[3] == (
        "Localisation counts only above the location prior, so the advantage of frozen does not."
    )


def test_without_a_location_prior_no_localisation_counts():
    result = found(BETTER, summaries=ABOVE[:2], fidelity=LOWER)[0]
    assert "A comparison with the location prior lacks the AUC-ROC of location prior." in result.sentences
    assert "is not shown to lie above the location prior" in result.verdict


def test_one_seed_is_not_tested():
    fid = found(SAME, fidelity=fids([100.0], [99.5]))[0].sentences[-1]
    assert fid == (
        "In the mean over seeds the FID is lower for learnable: learnable 99.5 (1 seed), frozen 100 (1 seed); the "
        "difference is not tested, which takes 3 seeds in common."
    )


def test_seeds_that_only_one_variant_has_are_not_paired():
    # three seeds each, but only seeds 1 and 2 in common
    rows = [row | {"seed": row["seed"] + (row["variant"] == "learnable")} for row in LOWER]
    assert "the difference is not tested" in found(SAME, fidelity=rows)[0].sentences[-1]


def test_only_the_main_rows_count():
    others = [
        difference("auc_roc", -0.5, -0.6, -0.4, protocol="published"),
        difference("auc_roc", -0.5, -0.6, -0.4, group="micro"),
        difference("auc_roc", -0.5, -0.6, -0.4, text="impression"),
        difference("auc_roc", -0.5, -0.6, -0.4, frozen="labels_frozen", learnable="labels_learnable"),
    ]
    scores = [
        score("frozen", 0.1, 0.1, 0.1, protocol="published"),
        score("frozen", 0.1, 0.1, 0.1, text="impression", pairs="named"),
        score("frozen", 0.1, 0.1, 0.1, group="Edema"),
        score("frozen", 0.1, 0.1, 0.1, metric="iou"),
    ]
    assert found(others + BETTER, scores + ABOVE, LOWER) == found(BETTER, ABOVE, LOWER)


def test_specificity_that_no_sample_has():
    missing = difference("specificity", np.nan, np.nan, np.nan, p=np.nan, n=0, subjects=0)
    result = found([BETTER[0], missing], fidelity=LOWER)[0]
    assert result.verdict.startswith("appears: ")
    assert result.sentences[1] == "There is no paired difference in specificity between frozen and learnable."


def test_the_headline_covers_each_data_set_also_one_without_differences():
    results = found(SAME, fidelity=LOWER, titles=TITLES)
    assert headline(results) == (
        f"On phantom radiographs the paper's trade-off appears in part: {NO_LOCALISATION}, and {LEARNABLE_LOWER}; on "
        "phantom scenes it cannot be judged: frozen and learnable have no paired differences in localisation."
    )


# --- the page -----------------------------------------------------------------------------------------------------

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags are closed in order and collects what tests ask for."""

    def __init__(self, html):
        super().__init__()
        self.open, self.attributes, self.texts, self.ids = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.attributes if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


CONFIG = {"run": "demo", "variants": {"frozen": {}, "labels_frozen": {}}}
SEEDS = {"frozen": [0, 1], "labels_frozen": [5]}
PACKAGES = {"torch": "2.13.0", "numpy": "2.4.6"}
SIDECAR = {"config": CONFIG, "seeds": SEEDS, "commit": "c0ffee", "python": "3.11.7", "packages": PACKAGES}


@pytest.fixture
def files(tmp_path):
    cells = pd.DataFrame({"Category": ["Edema <1>", "macro"], "Variant": ["frozen", "frozen"], "AUC": ["0.810", "0.7"]})
    blocks = [Block("radiographs, phrase", cells, labels=2), Block("scenes", cells[["Category", "AUC"]], labels=1)]
    table = PaperTable("Table 2. Grounding", cells, blocks, ["n < 10 & more", "a second note"])
    (tmp_path / "table2.json").write_text(json.dumps(SIDECAR | {"table": to_json(table)}))
    Image.new("RGB", (30, 20), "teal").save(tmp_path / "losses.png")
    (tmp_path / "losses.rst").write_text("Training loss.\nOver steps,\nsmoothed <b>.\n")
    (tmp_path / "table2.rst").write_text("Table 2: per finding.\nEight findings.\n")
    counts = tmp_path / "results/demo/data/cxr/images_counts.csv"
    counts.parent.mkdir(parents=True)
    counts.write_text("reason,count\nread,10\nno text,0\nview is not PA,3\nkept,7\n")
    benchmark(tmp_path / "benchmarks/attention/heat_maps_0.tsv", "heat_maps", 60, 500, 50)
    benchmark(tmp_path / "benchmarks/attention/heat_maps_1.tsv", "heat_maps", 3600, 700, 40)
    benchmark(tmp_path / "benchmarks/evaluation/frozen-labels_frozen.tsv", "differences", 0.4)
    benchmark(tmp_path / "benchmarks/paper/table1.tsv", "table1", 2, 90, 1)
    return tmp_path


def benchmark(path, rule, seconds, memory="NA", cpu="NA", resources=None):
    """A file as Snakemake's extended benchmark writes it, of the columns that are read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"s": seconds, "max_rss": memory, "cpu_time": cpu, "rule_name": rule, "resources": resources or {}}
    path.write_text("\t".join(values) + "\n" + "\t".join(map(str, values.values())) + "\n")


def scores():
    rows = []
    for seed in (0, 1):
        for i in range(4):
            reason = "no text" if i < seed else np.nan  # none for seed 0, one for seed 1
            rows.append(
                {"dataset": "cxr", "variant": "frozen", "seed": seed, "protocol": "corrected", "text": "phrase"}
            )
            rows[-1]["excluded"] = reason
    return pd.DataFrame(rows)


@pytest.fixture
def make(files):
    def make(demo=True, results=None):
        captions = read_captions([files / "losses.rst", files / "table2.rst"])
        making = Making(
            SIDECAR,
            times_block(files / "benchmarks"),
            [counts_block(files / "results/demo/data/cxr/images_counts.csv", TITLES)],
            exclusions_block(scores(), TITLES),
        )
        table = read_table(files / "table2.json", captions, files / "report/report.html")
        figure = read_figure(files / "losses.png", captions, TITLES)
        return render(demo, results or found(BETTER, fidelity=LOWER), [table], [figure], making)

    return make


def test_the_page_is_well_formed_and_leads_with_the_conclusion(make):
    page = Page(make())
    assert page.of("html") == [{"lang": "en"}]
    assert len(page.ids) == len(set(page.ids))
    targets = {a["href"][1:] for a in page.of("a") if a["href"].startswith("#")}
    assert targets <= set(page.ids)
    assert {"conclusion", "tables", "table-table2", "figures", "figure-losses", "making"} <= targets
    places = [
        page.text.index(words) for words in ("On phantom radiographs the", "Over steps", "Eight findings.", "c0ffee")
    ]  # the main figure stands below the conclusion, before the tables
    assert places == sorted(places)


def test_the_page_needs_no_network_and_no_script(make):
    html = make()
    page = Page(html)
    resources = [
        value for _, attributes in page.attributes for name, value in attributes.items() if name in ("src", "srcset")
    ]
    assert resources and all(value.startswith("data:image/png;base64,") for value in resources)
    assert page.of("link") == page.of("script") == []
    assert "url(" not in html and "@import" not in html
    external = {a["href"] for a in page.of("a") if not a["href"].startswith("#")}
    assert external == {"https://doi.org/10.1609/aaai.v38i19.30095", "../table2.csv", "../table2_columns.csv"}


def test_tables_figures_and_making_are_there(make):
    page = Page(make())
    assert "Table 2. Grounding" in page.text and "a second note" in page.text and "../table2.csv" in page.text
    heads = [th for th in page.of("th")]
    assert all(th["scope"] in ("row", "col") for th in heads)
    # two label columns and two rows, then one label column and two rows; other tables have one label column but one
    assert sum(th["scope"] == "row" for th in heads) == 2 * 2 + 2 + 4 + 3 + 4
    image = page.of("img")[0]
    assert (image["width"], image["height"]) == ("30", "20") and "Training loss" in image["alt"]
    assert "Figure 1. Training loss. Over steps, smoothed <b>." in page.text
    assert "Python 3.11.7; torch 2.13.0, numpy 2.4.6." in page.text
    assert "Seeds: frozen 0, 1; labels frozen 5." in page.text
    assert "run: demo" in page.text  # the configuration


def widest_page(make, files):
    """The page with the columns of Table 3, all with several seeds."""
    labels = {"Trained on": "language-model sentences", "Text encoder": "learnable", "Variant": "sentences learnable"}
    scores = ["FID ↓", "FID (X-ray) ↓", "MS-SSIM ↓", "Label AUC ↑", "AUC-ROC (micro) ↑", "Top-1 ↑", "CNR ↑", "IoU ↑"]
    cells = labels | dict.fromkeys([*scores, "fg/bg mIoU ↑"], "0.853 ± 0.004")
    cells |= {"AUC-ROC ↑": "0.853 ± 0.004 [0.831, 0.870]", "images": "5000", "n": "1162", "excluded": "12"}
    rows = pd.DataFrame([cells] * 9)
    table = PaperTable("Table 2. Grounding", rows, [Block("radiographs, phrase", rows, labels=3)], ["a note"])
    (files / "table2.json").write_text(json.dumps(SIDECAR | {"table": to_json(table)}))
    (files / "report.html").write_text(make())
    return files / "report.html"


@needs_chromium
def test_no_column_is_cut_at_1280_pixels_and_the_main_figure_is_on_the_first_screen(make, files):
    Image.new("RGB", (1400, 960)).save(files / "losses.png")
    seen = measured(
        widest_page(make, files),
        """
const cut = [...document.querySelectorAll(".scroll")].filter(one => one.scrollWidth > one.clientWidth).length;
const box = document.querySelector("figure img").getBoundingClientRect();
return {cut, page: document.documentElement.scrollWidth, bottom: box.bottom, shown: box.height};""",
        height=900,
    )
    assert seen["cut"] == 0 and seen["page"] <= 1280
    assert seen["bottom"] <= 900 and seen["shown"] >= 300


@needs_chromium
def test_the_page_does_not_scroll_sideways_on_a_phone(make, files):
    width = measured(widest_page(make, files), "return document.documentElement.scrollWidth;", width=500)
    assert width <= 500


def test_texts_are_escaped(make):
    html = make()
    assert "Edema &lt;1&gt;" in html and "<1>" not in html
    assert "n &lt; 10 &amp; more" in html and "smoothed &lt;b&gt;" in html


def test_same_bytes_twice(make):
    assert make() == make()


def test_the_page_says_what_data_it_is_made_from(make):
    demo, real = Page(make(demo=True)).text, Page(make(demo=False)).text
    assert "Phantoms and a small model, not the paper's numbers" in demo and "credentialed" not in demo
    assert "Made from credentialed data: do not share images or texts." in real and "Phantoms" not in real


# --- its parts ----------------------------------------------------------------------------------------------------


def test_a_table_is_read_as_it_was_written(files):
    table = read_table(files / "table2.json", {}, files / "report.html")
    assert (table.name, table.title, table.csv) == ("table2", "Table 2. Grounding", "table2.csv")
    assert [(block.heading, block.labels) for block in table.blocks] == [("radiographs, phrase", 2), ("scenes", 1)]
    assert table.blocks[0].cells.columns.tolist() == ["Category", "Variant", "AUC"]
    assert table.blocks[0].cells.to_numpy().tolist() == [["Edema <1>", "frozen", "0.810"], ["macro", "frozen", "0.7"]]
    assert table.notes == ["n < 10 & more", "a second note"]


def test_a_figure_without_a_caption_is_refused(files):
    with pytest.raises(InputError, match=r"write report/losses\.rst"):
        read_figure(files / "losses.png", {}, TITLES)


def test_counts_without_reasons_that_never_occurred(files):
    block = counts_block(files / "results/demo/data/cxr/images_counts.csv", TITLES)
    assert block.heading == "phantom radiographs: images"
    assert block.cells.to_numpy().tolist() == [["read", "10"], ["view is not PA", "3"], ["kept", "7"]]


def test_counts_of_a_further_set_of_boxes_and_of_a_variant_of_its_name(tmp_path):
    titles = TITLES | {"mine": "Our hospital"}
    for path, heading in {
        "results/demo/data/mine/grounding_counts.csv": "Our hospital: grounding",
        "results/coco/model/cxr/mine/seed0/training_counts.csv": "phantom radiographs: mine, seed0, training",
    }.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True)
        file.write_text("reason,count\nread,1\n")
        assert counts_block(file, titles).heading == heading


def test_exclusions_by_reason():
    block = exclusions_block(scores(), TITLES)
    row = ["phantom radiographs", "corrected", "phrase", "no text", "1", "4", "1 of 2"]
    assert block.cells.to_numpy().tolist() == [row]


def test_times_are_summed_over_the_jobs_of_a_rule(files):
    assert times_block(files / "benchmarks").cells.to_numpy().tolist() == [
        ["heat maps", "2", "1:01:00", "0:01:30", "700"],  # 60 + 3600 s, 50 + 40 s
        ["table1", "1", "0:00:02", "0:00:01", "90"],
        ["differences", "1", "0:00:00", "0:00:00", "–"],
        ["all steps", "4", "1:01:02", "0:01:31", "700"],
    ]


def test_times_on_gpus_count_for_each_gpu(tmp_path):
    jobs = {"a": (60, {"gpu": 2}), "b": (30, {"gres": "gpu:a100:1"}), "c": (15, {"mem_mb": 1})}
    for name, (seconds, resources) in jobs.items():
        benchmark(tmp_path / f"{name}.tsv", name, seconds, 1, 1, resources)
    cells = times_block(tmp_path).cells
    assert cells["GPU time (h:mm:ss)"].tolist() == ["0:02:00", "0:00:30", "0:00:00", "0:02:30"]


def test_a_short_benchmark_has_no_rule(tmp_path):
    (tmp_path / "a.tsv").write_text("s\tmax_rss\tcpu_time\n5\t1\t1\n")
    assert times_block(tmp_path).cells["Step"].tolist() == ["rule not recorded", "all steps"]


def test_the_sidecar_of_a_table_holds_what_the_report_reads(tmp_path):
    write_sidecar(tmp_path / "table1.json", {}, {"seeds": [0], "variants": {"frozen": {"seeds": None}}}, {})
    assert set(SIDECAR) <= set(json.loads((tmp_path / "table1.json").read_text()))
