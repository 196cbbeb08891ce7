"""Images from elsewhere: how they are read, the commands on them, and their rows."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from project import PROJECT

from tradeoffs.__main__ import main
from tradeoffs.errors import InputError
from tradeoffs.evaluation.classifier import FindingsClassifier, save_classifier
from tradeoffs.evaluation.image_sets import diversity_within, read_image_set


def draw(path, grey) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((64, 64), grey, np.uint8)).save(path)
    return str(path)


@pytest.fixture
def by_finding(tmp_path):
    """Four images in folders named after their finding: Edema bright, No Finding dark."""
    for name, greys in {"Edema": (200, 230), "No Finding": (20, 50)}.items():
        for grey in greys:
            draw(tmp_path / "images" / name / f"{grey}.png", grey)
    return tmp_path / "images"


@pytest.fixture
def classifier(tmp_path):
    """A network whose logit of Edema grows with brightness, whatever is in between."""
    torch.manual_seed(0)
    network = FindingsClassifier(["Edema", "No Finding"])
    save_classifier(tmp_path / "classifier", network, {})
    return str(tmp_path / "classifier")


def test_a_folder_labels_images_by_the_folders_that_they_lie_in(by_finding):
    draw(by_finding / "others" / "1.PNG", 9)
    (by_finding / "notes.txt").write_text("no image")
    table = read_image_set(by_finding)
    names = ["Edema/200.png", "Edema/230.png", "No Finding/20.png", "No Finding/50.png", "others/1.PNG"]
    assert table["path"].tolist() == [str(by_finding / name) for name in names]
    assert table["Finding Labels"].tolist() == ["Edema", "Edema", "No Finding", "No Finding", ""]


def test_a_list_names_images_from_where_it_lies(by_finding):
    file = by_finding / "list.csv"
    rows = {"path": ["Edema/200.png", "No Finding/20.png"], "prompt": ["a", "b"], "label": ["Edema|Pneumonia", ""]}
    pd.DataFrame(rows).to_csv(file, index=False)
    table = read_image_set(file)
    assert table["path"].tolist() == [str(by_finding / name) for name in rows["path"]]
    assert table["prompt"].tolist() == ["a", "b"] and table["Finding Labels"].tolist() == ["Edema|Pneumonia", ""]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"file": ["x.png"]}, "list.csv: has no column 'path'; give it the columns path"),
        ({"path": [""]}, "list.csv, row 2: path is empty"),
        ({"path": ["Edema/200.png"], "label": ["Oedema"]}, "list.csv, row 2: Finding Labels has another name"),
        ({"path": ["Edema/200.png", "absent.png"]}, "absent.png: missing image of .*list.csv"),
        ({"path": ["list.csv"]}, "list.csv: unreadable image of"),
        ({"path": []}, "list.csv: holds no image"),
        ({"path": ["Edema/200.png"] * 2}, "list.csv, row 3: path occurs in an earlier row too"),
        ({"path": ["Edema/200.png"], "Finding_Labels": ["Edema"]}, "'Finding_Labels'.* call it 'Finding Labels'"),
        ({"path": ["Edema/200.png"], "label": ["Edema"], "Finding Labels": [""]}, "columns Finding Labels and label"),
    ],
)
def test_a_list_that_cannot_be_scored_is_refused(by_finding, rows, message):
    file = by_finding / "list.csv"
    pd.DataFrame(rows).to_csv(file, index=False)
    with pytest.raises(InputError, match=message):
        read_image_set(file)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("Effusion", "Pleural Effusion"), ("No finding", "No Finding"), ("pleural_effusion", "Pleural Effusion")],
)
def test_a_folder_that_is_nearly_named_after_a_finding_is_refused(by_finding, name, meant):
    """Its images would count as without findings."""
    draw(by_finding / name / "a.png", 9)
    with pytest.raises(InputError, match=f"{name}: is not named after a finding; did you mean '{meant}'"):
        read_image_set(by_finding)


def test_images_of_a_format_that_folders_are_not_searched_for_are_refused(by_finding):
    Image.new("L", (40, 40)).save(by_finding / "other.webp")
    with pytest.raises(InputError, match="other.webp: is not read, since a folder is searched for .png"):
        read_image_set(by_finding)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no image; give a folder with .png"):
        read_image_set(tmp_path)


def test_ms_ssim_is_within_prompts_and_without_a_prompt_there_is_none(tmp_path):
    paths = [draw(tmp_path / f"{i}.png", grey) for i, grey in enumerate((51, 51, 255, 255))]
    assert diversity_within(["a", "a", "b", "c"], paths, 64)["ms_ssim"] == (pytest.approx(1), 1)
    assert diversity_within(["", "", "", ""], paths, 64)["ms_ssim"][1] == 0


def test_the_command_fidelity_writes_every_score(by_finding, classifier, tmp_path, capsys):
    out = tmp_path / "scores.csv"
    where = ["--classifier", classifier, "--resolution", "64", "--out", str(out)]
    main(["fidelity", str(by_finding), str(by_finding), *where])
    scores = pd.read_csv(out).set_index("metric")
    # a set against itself
    assert scores["value"]["fid_general"] == pytest.approx(0, abs=1e-6)
    assert scores["value"][["precision_general", "recall_general", "coverage_domain"]].tolist() == [1, 1, 1]
    assert scores["n"]["fid_general"] == 4 and scores["n"]["fid_domain_Edema"] == 2
    assert scores["n"]["disease_auc_Edema"] == 2 and scores["n"]["ms_ssim"] == 0
    assert "fid_general 0.0000 (n 4)" in capsys.readouterr().out


def test_the_command_classify_writes_logits_and_label_consistency(by_finding, classifier, tmp_path):
    out = tmp_path / "classification.csv"
    main(["classify", str(by_finding), "--classifier", classifier, "--resolution", "64", "--out", str(out)])
    table = pd.read_csv(out)
    assert table.columns.tolist() == ["path", "Finding Labels", "Edema", "No Finding"] and len(table) == 4
    scores = pd.read_csv(tmp_path / "classification.scores.csv").set_index("metric")["value"]
    ill, healthy = table["Edema"][:2].to_numpy(), table["Edema"][2:].to_numpy()
    auc = np.mean([(i > h) + (i == h) / 2 for i in ill for h in healthy])
    assert scores["disease_auc"] == pytest.approx(auc) == scores["label_auc_Edema"]
    assert scores["label_top1"] == pytest.approx(np.mean(table["Edema"][:2] > table["No Finding"][:2]))


def test_classify_without_a_network_says_what_it_needs(by_finding):
    with pytest.raises(SystemExit, match="classify: needs --classifier or --xrv"):
        main(["classify", str(by_finding), "--resolution", "64"])


def test_the_demos_classifier_is_one(by_finding, tmp_path):
    where = ["--classifier", str(PROJECT / "resources/demo_base/classifier"), "--resolution", "128"]
    main(["classify", str(by_finding), *where, "--out", str(tmp_path / "x.csv")])
    assert {"Cardiomegaly", "No Finding"} <= set(pd.read_csv(tmp_path / "x.csv").columns)
