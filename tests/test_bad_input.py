"""Bad input of every kind: it stops with a line that names file, row or key and the remedy, or is left out and counted.

Each table has a line a case: what is wrong, how the input is broken, and the message or the counts that must follow.
Input is broken in small copies of the phantoms' raw folders, which are those that the real data have. Further cases of
single readers stand beside their other tests.
"""

import gzip
import io
import json
import os
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tradeoffs.attention.heat_maps import load_heat_maps
from tradeoffs.data import coco, mimic, mscxr
from tradeoffs.data.conditioning import read_captions, read_sentences
from tradeoffs.data.tables import read_grounding, read_images, read_prompts
from tradeoffs.demo.phantom_coco import write_phantom_coco
from tradeoffs.demo.phantom_files import write_phantoms
from tradeoffs.errors import InputError
from tradeoffs.evaluation.external import read_external
from tradeoffs.model.checkpoints import PARTS, load
from tradeoffs.model.latents import Latents

Break = Callable[[Path], object]  # breaks something in a folder

METADATA, CHEXPERT, SPLIT = (
    f"mimic-cxr-jpg/mimic-cxr-2.0.0-{name}.csv.gz" for name in ("metadata", "chexpert", "split")
)
BOXES = "ms-cxr/MS_CXR_Local_Alignment_v1.0.0.csv"
REPORT, IMAGE = "mimic-cxr/files/p*/p*/s{study}.txt", "mimic-cxr-jpg/files/p*/p*/s*/{image}.jpg"
BOXED = "mimic-cxr-jpg/files/p*/p*/s*/{boxed}.jpg"
CAPTIONS, INSTANCES = "annotations/captions_{}2017.json", "annotations/instances_{}2017.json"


# --- ways to break things ------------------------------------------------------------------------------------------


def replaced(pattern: str, write: Callable[[Path, bytes], object]) -> Break:
    """Has the file that matches written anew, given its content; {image} and {study} are those of the first row of
    the metadata, which is a training image, {boxed} the image of the first box."""

    def apply(folder: Path) -> None:
        names = {}
        if (folder / METADATA).exists():
            first = pd.read_csv(folder / METADATA, dtype=str).iloc[0]
            boxed = pd.read_csv(folder / BOXES).iloc[0]["dicom_id"]
            names = {"image": first["dicom_id"], "study": first["study_id"], "boxed": boxed}
        path = min(folder.glob(pattern.format(**names)))
        before = path.read_bytes()
        path.unlink()  # before it is written to, because the copies of a folder share their files
        write(path, before)

    return apply


def remove(pattern: str) -> Break:
    return replaced(pattern, lambda path, before: None)


def content(pattern: str, data: bytes | str | Callable[[bytes], bytes | str]) -> Break:
    """Another content, or one made of what was there."""

    def write(path: Path, before: bytes) -> None:
        made = data(before) if callable(data) else data
        path.write_bytes(made.encode() if isinstance(made, str) else made)

    return replaced(pattern, write)


def table(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Break:
    """A changed CSV."""

    def write(path: Path, before: bytes) -> None:
        text = gzip.decompress(before) if path.suffix == ".gz" else before
        change(pd.read_csv(io.BytesIO(text), dtype=str, keep_default_na=False)).to_csv(path, index=False)

    return replaced(name, write)


def cell(name: str, column: str, value: str) -> Break:
    """Another value in the first row of a CSV."""
    return table(name, lambda rows: rows.assign(**{column: [value, *rows[column][1:]]}))


def without(name: str, column: str) -> Break:
    return table(name, lambda rows: rows.drop(columns=column))


def renamed(name: str, column: str, other: str) -> Break:
    return table(name, lambda rows: rows.rename(columns={column: other}))


def twice(name: str) -> Break:
    """The first row of a CSV once more at its end."""
    return table(name, lambda rows: pd.concat([rows, rows.head(1)]))


def entry(file: str, kind: str, /, **values: object) -> Break:
    """Other values in the first entry of a list of a JSON file."""

    def change(data: bytes) -> str:
        made = json.loads(data)
        made[kind][0] |= values
        return json.dumps(made)

    return content(file, change)


def image(pattern: str, picture: Image.Image, form: str = "JPEG") -> Break:
    """Another picture under the same name."""
    return replaced(pattern, lambda path, before: picture.save(path, form))


def on_its_side(pattern: str) -> Break:
    """A wider image with the mark that it is to be turned by 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return replaced(pattern, lambda path, before: Image.new("L", (90, 50)).save(path, exif=exif))


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims to be of that size."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def differences(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """How many more rows each reason has."""
    reasons = [reason for reason in after if not re.search("read$|kept$", reason)]
    return {reason: after[reason] - before[reason] for reason in reasons if after[reason] != before[reason]}


def assert_says_what_to_do(error: InputError) -> None:
    """One line, and after what is wrong comes a remedy."""
    message = str(error)
    assert "\n" not in message
    assert re.search(
        "; (.* )?(download|correct|complete|give|check|write|delete|remove|use|put|take|unite)", message
    ), message


# --- MIMIC-CXR and MS-CXR ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, seed=0, train=4, val=1, p19=2, mscxr=3)
    return folder


def copy(source: Path, target: Path) -> Path:
    return shutil.copytree(source, target, copy_function=lambda one, other: Path(other).hardlink_to(one))


def prepared(folder: Path, max_missing: float = 0.5) -> dict[str, int]:
    """Counts of what is dropped and kept in preparing the images and boxes of a folder."""
    jpg, reports, boxes = (folder / name for name in ("mimic-cxr-jpg", "mimic-cxr", "ms-cxr"))
    images, counts = mimic.prepare_images(jpg, reports, boxes, ["PA", "AP"], max_missing)
    _, of_boxes = mscxr.prepare_grounding(boxes, images)
    return counts | {f"boxes: {reason}": count for reason, count in of_boxes.items() if "validation part" not in reason}


STOPS = [
    (
        "metadata without a column",
        without(METADATA, "ViewPosition"),
        "metadata.csv.gz: has no column 'ViewPosition'; download",
    ),
    (
        "metadata with a renamed column",
        renamed(METADATA, "dicom_id", "image"),
        "metadata.csv.gz: has no column 'dicom_id'",
    ),
    ("metadata that is empty", content(METADATA, b""), "metadata.csv.gz: cannot be read as CSV"),
    ("metadata that is not compressed", content(METADATA, gzip.decompress), "metadata.csv.gz: cannot be read as CSV"),
    ("metadata cut short", content(METADATA, half), "metadata.csv.gz: cannot be read as CSV"),
    (
        "metadata that is a web page",
        content(METADATA, gzip.compress(b"<html>\n<body>\n", mtime=0)),
        "metadata.csv.gz: has no column",
    ),
    (
        "a subject with letters",
        cell(METADATA, "subject_id", "p1000003"),
        "row 2: subject_id does not consist of 8 digits",
    ),
    (
        "a subject that is a path",
        cell(METADATA, "subject_id", "../../.."),
        "row 2: subject_id does not consist of 8 digits",
    ),
    ("a study that is a path", cell(METADATA, "study_id", "1/../../2"), "row 2: study_id does not consist of digits"),
    ("a study without a number", cell(METADATA, "study_id", ""), "row 2: study_id is empty"),
    ("a study as a fraction", cell(METADATA, "study_id", "5.1e7"), "row 2: study_id does not consist of digits"),
    (
        "an image that is a path",
        cell(METADATA, "dicom_id", "/etc/passwd"),
        "row 2: dicom_id does not consist of letters",
    ),
    ("labels without a finding", without(CHEXPERT, "Edema"), "chexpert.csv.gz: has no column 'Edema'"),
    (
        "a label that is a word",
        cell(CHEXPERT, "Edema", "yes"),
        "chexpert.csv.gz, row 2: Edema is none of 1.0, 0.0, -1.0",
    ),
    (
        "a label that is no label",
        cell(CHEXPERT, "Edema", "2.0"),
        "chexpert.csv.gz, row 2: Edema is none of 1.0, 0.0, -1.0",
    ),
    ("labels of a study twice", twice(CHEXPERT), "chexpert.csv.gz, row [0-9]+: study_id occurs in an earlier row too"),
    ("an unknown split", cell(SPLIT, "split", "dev"), "split.csv.gz, row 2: split is none of train, validate, test"),
    ("split of an image twice", twice(SPLIT), "split.csv.gz, row [0-9]+: dicom_id occurs in an earlier row too"),
    (
        "no folder of reports",
        lambda folder: shutil.rmtree(folder / "mimic-cxr/files"),
        "mimic-cxr: has no folder files with",
    ),
    ("no tables", remove(METADATA), "mimic-cxr-jpg: holds no mimic-cxr-2.[*]-metadata.csv.gz; download"),
    ("no boxes", remove(BOXES), "ms-cxr: holds no MS_CXR_Local_Alignment_v[*].csv; download"),
    ("boxes without a column", without(BOXES, "w"), "v1.0.0.csv: has no column 'w'"),
    ("boxes without an image", cell(BOXES, "dicom_id", ""), "v1.0.0.csv, row 2: dicom_id is empty"),
    ("a box that is a word", cell(BOXES, "x", "left"), "v1.0.0.csv, row 2: x is not a number"),
    ("a box that is not a number", cell(BOXES, "y", "NaN"), "v1.0.0.csv, row 2: y is not a number"),
    ("an endless box", cell(BOXES, "w", "inf"), "v1.0.0.csv, row 2: w is not a number"),
    (
        "an image without width",
        cell(BOXES, "image_width", "0"),
        "v1.0.0.csv, row 2: image_width is not a positive number",
    ),
    ("boxes that are no table", content(BOXES, b'{"info": {}, "images": []}'), "v1.0.0.csv: has no column 'dicom_id'"),
    ("a boxed image of another shape", image(BOXED, Image.new("L", (90, 300))), "boxes were drawn on"),
    ("a boxed image on its side", on_its_side(BOXED), "boxes were drawn on"),
]

UNLISTED = {"boxes: image not in the mscxr split of the image table": 1}
LEFT_OUT = [
    ("an image twice", twice(METADATA), {"dicom_id listed twice": 1}),
    ("an image without a view", cell(METADATA, "ViewPosition", ""), {"view is not PA or AP": 1}),
    ("an image without a split", table(SPLIT, lambda rows: rows.iloc[1:]), {"not in the split file": 1}),
    ("a report that is missing", remove(REPORT), {"report file missing": 1}),
    ("a report that is empty", content(REPORT, b""), {"no impression in the report": 1}),
    ("a report of rubbish", content(REPORT, bytes(range(256)) * 40), {"no impression in the report": 1}),
    ("an impression without words", content(REPORT, " IMPRESSION:\n \n"), {"no impression in the report": 1}),
    ("an image that is missing", remove(IMAGE), {"image file missing": 1}),
    ("an image that is empty", content(IMAGE, b""), {"image file unreadable": 1}),
    ("an image that is a web page", content(IMAGE, "<html>Error 503</html>"), {"image file unreadable": 1}),
    ("an image cut short", content(IMAGE, half), {"image file unreadable": 1}),
    ("an image of immense size", content(IMAGE, png_header(60_000, 60_000)), {"image file unreadable": 1}),
    ("an image of one line", image(IMAGE, Image.new("L", (5000, 1))), {"image file unreadable": 1}),
    ("an image without known range", image(IMAGE, Image.new("F", (9, 9)), "TIFF"), {"image file unreadable": 1}),
    ("an image of 16 bits", image(IMAGE, Image.new("I;16", (9, 9)), "PNG"), {}),
    ("an image of inks", image(IMAGE, Image.new("CMYK", (9, 9))), {}),
    ("an image on its side", on_its_side(IMAGE), {}),
    ("a finding without boxes", cell(BOXES, "category_name", "Fracture"), {"boxes: unknown category": 1}),
    ("a phrase without words", cell(BOXES, "label_text", " "), {"boxes: empty phrase": 1}),
    ("a box of an unknown image", cell(BOXES, "dicom_id", "x"), UNLISTED),
    ("a box without a place", cell(BOXES, "x", ""), {"boxes: empty box": 1}),
    ("a box of negative width", cell(BOXES, "w", "-5"), {"boxes: empty box": 1}),
    ("a box without height", cell(BOXES, "h", "0"), {"boxes: empty box": 1}),
    ("a box outside", cell(BOXES, "x", "100000"), {"boxes: box outside the image": 1}),
    ("a box across the border", cell(BOXES, "w", "100000"), {"boxes: clipped to the image (kept)": 1}),
    ("a box twice", twice(BOXES), {"boxes: same box twice": 1}),
]  # fmt: skip


def test_phantoms_are_whole(phantoms):
    counts = prepared(phantoms, max_missing=0.0)
    assert counts["kept"] == 9 and counts["boxes: kept"] >= 3


@pytest.mark.parametrize(("break_it", "message"), [pytest.param(*case[1:], id=case[0]) for case in STOPS])
def test_a_wrong_file_of_mimic_stops(phantoms, tmp_path, break_it, message):
    break_it(copy(phantoms, tmp_path / "raw"))
    with pytest.raises(InputError, match=message) as error:
        prepared(tmp_path / "raw")
    assert_says_what_to_do(error.value)


@pytest.mark.parametrize(("break_it", "expected"), [pytest.param(*case[1:], id=case[0]) for case in LEFT_OUT])
def test_what_is_wrong_with_a_part_of_mimic_is_counted(phantoms, tmp_path, break_it, expected):
    before = prepared(phantoms)
    break_it(copy(phantoms, tmp_path / "raw"))
    assert differences(before, prepared(tmp_path / "raw")) == expected


def test_a_folder_with_too_much_damage_stops(phantoms, tmp_path):
    folder = copy(phantoms, tmp_path / "raw")
    content(IMAGE, b"")(folder)
    with pytest.raises(InputError, match="jpg: 1 of 9 images are missing or unreadable, this one first") as error:
        prepared(folder, max_missing=0.01)
    assert_says_what_to_do(error.value)


# --- MS-COCO -------------------------------------------------------------------------------------------------------

COCO_TRAIN, COCO_VAL = "train2017/*.jpg", "val2017/*.jpg"
TRAIN_TEXTS, TEXTS = CAPTIONS.format("train"), CAPTIONS.format("val")
OBJECTS = INSTANCES.format("val")
SIZE = [9, 9]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_phantom_coco(folder, seed=0, train=3, val=3)
    return folder


def prepared_scenes(folder: Path, max_missing: float = 0.5) -> dict[str, int]:
    images, captions, counts = coco.prepare_images(folder, max_missing)
    _, of_objects = coco.prepare_grounding(folder, images, captions)
    return counts | {f"objects: {reason}": count for reason, count in of_objects.items()}


def named_object(**values: object) -> Break:
    """Other values in the first object of val2017 whose class its image's first caption names."""

    def apply(folder: Path) -> None:
        captions = {
            row["image_id"]: row["caption"]
            for row in reversed(json.loads((folder / TEXTS).read_bytes())["annotations"])
        }
        path = folder / OBJECTS
        made = json.loads(path.read_bytes())
        names = {row["id"]: row["name"] for row in made["categories"]}
        named = (row for row in made["annotations"] if names[row["category_id"]] in captions[row["image_id"]])
        next(named).update(values)
        path.unlink()
        path.write_text(json.dumps(made))

    return apply


def caption(**values: object) -> Break:
    return entry(TRAIN_TEXTS, "annotations", **values)


def listed(name: str) -> Break:
    return entry(TEXTS, "images", file_name=name)


def annotated(**values: object) -> Break:
    return entry(OBJECTS, "annotations", **values)


BAD_NAME = r"images\[0\] has the file_name"
COCO_STOPS = [
    ("captions cut short", content(TRAIN_TEXTS, half), "captions_train2017.json: cannot be read as JSON"),
    ("captions that are empty", content(TEXTS, ""), "captions_val2017.json: cannot be read as JSON"),
    ("captions in brackets", content(TEXTS, "[" * 100_000), "captions_val2017.json: cannot be read as JSON"),
    ("captions in another encoding", content(TEXTS, b'{"a": "\xe9"}'), "captions_val2017.json: cannot be read"),
    ("captions that are a number", content(TEXTS, "3"), "captions_val2017.json: has no list 'images'"),
    ("no captions", remove(TEXTS), "captions_val2017.json: there is no such file"),
    ("a caption without text", caption(caption=None), r"annotations\[0\] has no valid 'caption'"),
    ("a caption of a named image", caption(image_id="7"), r"annotations\[0\] has no valid 'image_id'"),
    ("an image outside the folder", listed("../val2017/1.jpg"), BAD_NAME),
    ("an image of the whole disk", listed("/etc/passwd"), BAD_NAME),
    ("an image without name", listed(""), BAD_NAME),
    ("an image without width", entry(OBJECTS, "images", width="wide"), r"images\[0\] has no valid 'width'"),
    ("an unknown class", entry(OBJECTS, "categories", name="unicorn"), "category 1 'unicorn' is none of"),
    ("an object of an unknown class", annotated(category_id=12), r"annotations\[0\] has the category_id 12"),
    ("an object without box", annotated(bbox=None), r"annotations\[0\] has no valid 'bbox'"),
]  # fmt: skip

BAD_BOX = {"objects: box malformed, empty or outside the image": 1}
BAD_OUTLINE = {"objects: outline malformed or without a pixel": 1}
COCO_LEFT_OUT = [
    ("an image cut short", content(COCO_TRAIN, half), {"image file unreadable": 1}),
    ("an image of immense size", content(COCO_TRAIN, png_header(60_000, 60_000)), {"image file unreadable": 1}),
    ("an image that is missing", remove(COCO_TRAIN), {"image file missing": 1}),
    ("a grey image", image(COCO_TRAIN, Image.new("L", (9, 9))), {}),
    ("an image of inks", image(COCO_TRAIN, Image.new("CMYK", (9, 9))), {}),
    ("a box of negative width", named_object(bbox=[1, 1, -3, 4]), BAD_BOX),
    ("a box outside", named_object(bbox=[9999, 1, 3, 4]), BAD_BOX),
    ("a box that is not a number", named_object(bbox=[1, 1, float("nan"), 4]), BAD_BOX),
    ("a box of three numbers", named_object(bbox=[1, 1, 3]), BAD_BOX),
    ("an outline of words", named_object(segmentation=[["a"] * 6]), BAD_OUTLINE),
    ("an outline without end", named_object(segmentation=[[1e300] * 6]), BAD_OUTLINE),
    ("runs of another size", named_object(segmentation={"size": SIZE, "counts": [81]}), BAD_OUTLINE),
    ("runs of rubbish", named_object(segmentation={"size": SIZE, "counts": "???"}), BAD_OUTLINE),
]  # fmt: skip


@pytest.mark.parametrize(("break_it", "message"), [pytest.param(*case[1:], id=case[0]) for case in COCO_STOPS])
def test_a_wrong_file_of_coco_stops(scenes, tmp_path, break_it, message):
    break_it(copy(scenes, tmp_path / "raw"))
    with pytest.raises(InputError, match=message) as error:
        prepared_scenes(tmp_path / "raw")
    assert_says_what_to_do(error.value)


@pytest.mark.parametrize(("break_it", "expected"), [pytest.param(*case[1:], id=case[0]) for case in COCO_LEFT_OUT])
def test_what_is_wrong_with_a_part_of_coco_is_counted(scenes, tmp_path, break_it, expected):
    before = prepared_scenes(scenes)
    break_it(copy(scenes, tmp_path / "raw"))
    assert differences(before, prepared_scenes(tmp_path / "raw")) == expected


# --- files of other formats ----------------------------------------------------------------------------------------

GROUNDING = pd.DataFrame({"phrase_id": ["a-1", "a-2"], "sample_id": ["a", "a"]})
HEAT = np.ones((2, 4, 4), np.float32)


class RunsCode:
    """A pickle that makes a folder where it is read."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder / "code_ran"),)


def text(data: str | bytes) -> Break:
    return lambda path: path.write_bytes(data if isinstance(data, bytes) else data.encode())


def arrays(**values: object) -> Break:
    def write(path: Path) -> None:
        with open(path, "wb") as file:
            np.savez(file, **({"id": np.array(["a-1", "a-2"]), "heat": HEAT} | values))

    return write


def archive(heat: bytes, **options: int) -> Break:
    """An .npz whose maps are these bytes; options are marks in the archive's headers."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("id.npy", npy_header((0,), "<U3"))
            file.writestr("heat.npy", heat)
            for name, value in options.items():
                setattr(file.filelist[1], name, value)

    return write


def npy_header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    """An array that claims to be of that shape, and holds nothing."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def base_folder(**files: str) -> Break:
    """A diffusers folder with these files, in which / is __."""

    def write(path: Path) -> None:
        for part in PARTS:
            (path / part).mkdir(parents=True)
        for name, data in files.items():
            (path / name.replace("__", "/")).with_suffix(".json").write_text(data)

    return write


def with_pickle(part: str) -> Break:
    """The tiny base with one part's weights as a pickle that runs code."""

    def write(path: Path) -> None:
        weights = next((path / part).glob("*.safetensors"))
        weights.unlink()
        name = "pytorch_model.bin" if part == "text_encoder" else "diffusion_pytorch_model.bin"
        torch.save(RunsCode(path), path / part / name)

    return write


def read_maps(path: Path) -> object:
    return read_external(path, GROUNDING)


def read_own_maps(path: Path) -> object:
    return load_heat_maps(path, "phrase")


def row(**cells: str) -> Break:
    """A CSV of one row."""
    return lambda path: pd.DataFrame([cells]).to_csv(path, index=False)


def prompt(name: str) -> Break:
    return row(**{"prompt_id": name, "text": "edema", "Finding Labels": ""})


def phrase(boxes: str, width: str = "9") -> Break:
    names = {"phrase_id": "a-1", "sample_id": "a", "subject_id": "1", "path": "x.jpg", "category": "Edema"}
    return row(**names, phrase="edema", boxes=boxes, image_width=width, image_height="9", text="")


def prepared_row(path: str) -> Break:
    names = {"dicom_id": "a", "subject_id": "10000032.0", "study_id": "5", "ViewPosition": "PA", "split": "1"}
    return row(**names, impression="x", path=path, **{"Finding Labels ": ""})


NO_CSV = "cannot be read as CSV"
NO_NPZ = "cannot be read"

FILES = [
    ("prompts that are empty", read_prompts, text(""), NO_CSV),
    ("prompts of blank lines", read_prompts, text("\n\n\n"), NO_CSV),
    ("prompts with an open quote", read_prompts, text('text,Finding Labels\n"mild edema,\n'), NO_CSV),
    ("prompts of a spreadsheet", read_prompts, text(b"PK\x03\x04\x14\x00\x08\xff"), NO_CSV),
    ("prompts in UTF-16", read_prompts, text("text,Finding Labels\nedema,\n".encode("utf-16")), NO_CSV),
    ("prompts with semicolons", read_prompts, text("text;Finding Labels\nedema;\n"), "has no column 'Finding Labels'"),
    ("prompts in Greek columns", read_prompts, text("κείμενο,Finding Labels\nedema,\n"), "has no column 'text'"),
    ("a prompt named like a path", read_prompts, prompt("a/b"), "row 2: prompt_id has"),
    ("a prompt named like a folder", read_prompts, prompt(".."), "row 2: prompt_id has"),
    ("sentences that are empty", read_sentences, text(""), NO_CSV),
    ("sentences of an unknown finding", read_sentences, text("Edema,Nodule\na,b\n"), "the column 'Nodule' is"),
    ("captions of pixels", read_captions, text(bytes(range(256))), NO_CSV),
    ("a folder of captions", read_captions, lambda path: path.mkdir(), NO_CSV),
    ("an image table of another run", read_images, text("sample_id,text\na,b\n"), "has no column 'subject_id'"),
    ("an immense box", read_grounding, phrase("[[1, 1, 1e308, 1e308]]"), "row 2: boxes is not"),
    ("boxes in deep brackets", read_grounding, phrase("[" * 100_000), "row 2: boxes is not"),
    ("an immense image", read_grounding, phrase("[[1, 1, 1, 1]]", width="9" * 30), "row 2: image_width is not"),
    ("images outside the folder", mimic.read_prepared, prepared_row("files/../../a.dcm"), "row 2: path is not"),
    ("images of the web", mimic.read_prepared, prepared_row("https://a.b/c.jpg"), "row 2: path is not"),
    ("scenes outside the folder", coco.read_prepared, row(path="../a.jpg", captions="", split="1"), "row 2: path is"),
    ("heat maps that are text", read_maps, text("heat"), "is no .npz"),
    ("heat maps of one map for two ids", read_maps, arrays(heat=HEAT[:1]), "has 2 ids and 1 heat maps"),
    ("heat maps of other images", read_maps, arrays(id=np.array(["b-1", "b-2"])), "the id 'b-1' is no phrase_id"),
    ("heat maps of pixels in a row", read_maps, arrays(heat=HEAT.reshape(2, 16)), r"heat has the shape \(2, 16\)"),
    ("heat maps of objects", read_maps, arrays(heat=np.array([None, None])), NO_NPZ),
    ("heat maps without end", read_maps, archive(npy_header((10**6, 10**4, 10**4))), NO_NPZ),
    ("heat maps cut short", read_maps, archive(npy_header((2, 4, 4))), NO_NPZ),
    ("heat maps without header", read_maps, archive(b"12345678"), "heat is damaged"),
    ("heat maps under a password", read_maps, archive(npy_header((0, 4, 4)), flag_bits=1), NO_NPZ),
    ("heat maps of unknown compression", read_maps, archive(npy_header((0, 4, 4)), compress_type=99), NO_NPZ),
    ("own heat maps without header", read_own_maps, archive(b"1234"), "not a file of token heat maps"),
    ("latents of text", lambda path: Latents([path], 1.0), text("no latents"), "not a shard of latents"),
    ("a model without index", load, base_folder(), "no model_index.json"),
    ("a model whose index is cut short", load, base_folder(model_index='{"unet": ['), "index.json: cannot be read"),
    ("a model whose index is a list", load, base_folder(model_index="[]"), "model_index.json: holds no keys"),
    ("a model of unknown classes", load, base_folder(model_index='{"unet": ["os", "system"]}'), "index.json: unet is"),
]  # fmt: skip


@pytest.mark.parametrize(("read", "write", "message"), [pytest.param(*case[1:], id=case[0]) for case in FILES])
def test_a_wrong_file_stops(tmp_path, read, write, message):
    write(tmp_path / "file")
    with pytest.raises(InputError, match=f"file.*{message}") as error:
        read(tmp_path / "file")
    assert_says_what_to_do(error.value)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_weights_that_would_run_code_are_refused(tiny_base, tmp_path, part):
    with_pickle(part)(shutil.copytree(tiny_base, tmp_path / "file"))
    with pytest.raises(InputError, match=f"file/{part}") as error:
        load(tmp_path / "file")
    assert not list(tmp_path.rglob("code_ran"))
    assert_says_what_to_do(error.value)
