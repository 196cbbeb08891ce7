import gzip
import re

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask

from tradeoffs.data.coco_categories import COCO_NAMES
from tradeoffs.data.mimic import read_prepared
from tradeoffs.data.tables import (
    GROUNDING_COLUMNS,
    IMAGE_COLUMNS,
    encoded_runs,
    read_csv,
    read_grounding,
    read_images,
    read_prompts,
    read_samples,
    write_counts,
    write_table,
)
from tradeoffs.errors import InputError

IMAGE = {
    "sample_id": "a",
    "subject_id": "10000032",
    "study_id": "50414267",
    "path": "files/a.jpg",
    "split": "train",
    "text": "NA",
    "Finding Labels": "Edema|Pleural Effusion",
}
PHRASE = {
    "phrase_id": "a-1",
    "sample_id": "a",
    "subject_id": "10000032",
    "path": "files/a.jpg",
    "category": "Edema",
    "phrase": "mild edema",
    "boxes": "[[0, 1, 10.5, 20]]",
    "image_width": "100",
    "image_height": "120",
    "text": "",
    "mask": "",
}


def csv(path, *rows):
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_images_are_read_as_text(tmp_path):
    other = IMAGE | {"sample_id": "b", "split": "p19", "text": "", "Finding Labels": "", "study_id": "050414267"}
    table = read_images(csv(tmp_path / "images.csv", IMAGE, other))
    assert table.columns.tolist() == IMAGE_COLUMNS
    assert table["text"].tolist() == ["NA", ""]  # the text "NA" is a text, and an empty cell is an empty text
    assert table["study_id"].tolist() == ["50414267", "050414267"]
    assert table["Finding Labels"].tolist() == ["Edema|Pleural Effusion", ""]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_id": "a"}, "row 3: sample_id occurs in an earlier row too"),
        ({"sample_id": " "}, "row 3: sample_id is empty"),
        ({"subject_id": ""}, "row 3: subject_id is empty"),
        ({"path": ""}, "row 3: path is empty"),
        ({"split": "validate"}, "row 3: split is none of train, val, test, p19, mscxr"),
        ({"text": " "}, "row 3: text is empty"),
        ({"text": "", "split": "test"}, "row 3: text is empty"),
    ],
)
def test_wrong_image_rows_are_named(tmp_path, change, message):
    path = csv(tmp_path / "images.csv", IMAGE, IMAGE | {"sample_id": "b"} | change)
    with pytest.raises(InputError, match=f"images.csv, {message}"):
        read_images(path)


@pytest.mark.parametrize("column", IMAGE_COLUMNS)
def test_missing_image_column_is_named(tmp_path, column):
    path = csv(tmp_path / "images.csv", {k: v for k, v in IMAGE.items() if k != column})
    with pytest.raises(InputError, match=f"images.csv: has no column '{column}'; delete the file"):
        read_images(path)


def test_grounding_is_typed(tmp_path):
    boxes = "[[90, 100, 10, 20], [1, 2, 3, 4]]"  # the first one touches the border
    other = PHRASE | {"phrase_id": "a-2", "boxes": boxes}
    table = read_grounding(csv(tmp_path / "grounding.csv", PHRASE, other))
    assert table.columns.tolist() == GROUNDING_COLUMNS
    assert table["boxes"].tolist() == [[[0.0, 1.0, 10.5, 20.0]], [[90.0, 100.0, 10.0, 20.0], [1.0, 2.0, 3.0, 4.0]]]
    assert table["image_width"].tolist() == [100, 100]
    assert table["image_height"].tolist() == [120, 120]
    assert table["mask"].tolist() == ["", ""]


def test_grounding_may_have_masks_and_classes_of_coco(tmp_path, run_lengths):
    mask = np.zeros((120, 100), bool)
    mask[1:21, 0:10] = True
    rows = [PHRASE | {"category": "traffic light", "mask": run_lengths(mask)}, PHRASE | {"phrase_id": "a-2"}]
    table = read_grounding(csv(tmp_path / "grounding.csv", *rows))
    assert table["category"].tolist() == ["traffic light", "Edema"]
    assert table["mask"].tolist() == [run_lengths(mask), ""]


def test_grounding_without_columns_of_masks_and_words_has_boxes_and_the_default_words(tmp_path):
    table = read_grounding(csv(tmp_path / "grounding.csv", {k: v for k, v in PHRASE.items() if k != "mask"}))
    assert table.columns.tolist() == GROUNDING_COLUMNS
    assert table[["mask", "words"]].to_numpy().tolist() == [["", ""]]
    assert table["text_id"].tolist() == table["sample_id"].tolist() and table["part"].tolist() == ["test"]


@pytest.mark.parametrize(
    "column", [column for column in GROUNDING_COLUMNS if column not in ("mask", "text_id", "part", "words")]
)
def test_missing_grounding_column_is_named(tmp_path, column):
    path = csv(tmp_path / "grounding.csv", {k: v for k, v in PHRASE.items() if k != column})
    with pytest.raises(InputError, match=f"grounding.csv: has no column '{column}'; delete the file"):
        read_grounding(path)


@pytest.mark.parametrize(
    "mask",
    [
        " ",
        "5",
        "[120, 100]",
        '"size"',
        '{"size": [120, 100]}',
        '{"counts": "0l2"}',
        '{"size": [120, 100], "counts": [0, 12000]}',  # uncompressed
        '{"size": [120, 100], "counts": ""}',
        '{"size": [120, 100], "counts": "05"}',  # runs of 0 and 5 pixels
        '{"size": [120, 100], "counts": "zzz"}',
        '{"size": [120, 100], "counts": "0',
        '{"size": [100, 120], "counts": "0`g;"}',  # width and height swapped
        '{"size": [60, 50], "counts": "0hm2"}',  # of a smaller copy
    ],
)
def test_malformed_masks_name_the_row(tmp_path, mask):
    path = csv(tmp_path / "grounding.csv", PHRASE, PHRASE | {"phrase_id": "a-2", "mask": mask})
    with pytest.raises(InputError, match=r"grounding.csv, row 3: mask is not a JSON .* of the image's size; correct"):
        read_grounding(path)


def test_masks_of_a_category_on_an_image_are_united(tmp_path, run_lengths):
    first, second = [PHRASE | {"phrase_id": f"a-{i}", "mask": run_lengths(np.eye(120, 100, i))} for i in (1, 2)]
    others = [second | {"category": "dog"}, second | {"phrase_id": "b-1", "sample_id": "b"}]
    assert len(read_grounding(csv(tmp_path / "grounding.csv", first, *others))) == 3
    with pytest.raises(InputError, match="grounding.csv, row 4: an earlier row has this category .*; unite"):
        read_grounding(csv(tmp_path / "grounding.csv", first, others[1], second))


def test_grounding_survives_writing(tmp_path, run_lengths):
    masked = PHRASE | {"phrase_id": "a-2", "category": "dog", "mask": run_lengths(np.eye(120, 100))}
    read = read_grounding(csv(tmp_path / "grounding.csv", PHRASE, masked))
    write_table(read, tmp_path / "again.csv")
    pd.testing.assert_frame_equal(read_grounding(tmp_path / "again.csv"), read)


@pytest.mark.parametrize(
    "boxes",
    [
        "",
        "[]",
        "[1, 2, 3, 4]",
        "[[1, 2, 3]]",
        "[[1, 2, 3, 4, 5]]",
        "[[1, 2, 3, NaN]]",
        '[["a", 2, 3, 4]]',
        "[[1, 2, 3, 4]",
        "[[1, 2, 0, 4]]",
        "[[-1, 2, 3, 4]]",
        "[[91, 2, 10, 4]]",
        "[[1, 2, 3, 4], [1, 101, 3, 20]]",
    ],
)
def test_malformed_boxes_name_the_row(tmp_path, boxes):
    path = csv(tmp_path / "grounding.csv", PHRASE, PHRASE | {"phrase_id": "a-2", "boxes": boxes})
    with pytest.raises(InputError, match="grounding.csv, row 3: boxes is not a JSON list"):
        read_grounding(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phrase_id": "a-1"}, "phrase_id occurs"),
        ({"phrase": ""}, "phrase is empty"),
        ({"path": ""}, "path is empty"),
        ({"category": " "}, "category is empty"),
        ({"words": "edema||"}, "words has an empty word"),
        ({"image_width": "0"}, "image_width is not a positive whole number"),
        ({"image_height": "12.5"}, "image_height is not a positive whole number"),
    ],
)
def test_wrong_grounding_rows_are_named(tmp_path, change, message):
    path = csv(tmp_path / "grounding.csv", PHRASE, PHRASE | {"phrase_id": "a-2"} | change)
    with pytest.raises(InputError, match=f"grounding.csv, row 3: {message}"):
        read_grounding(path)


def test_prompts_are_read(tmp_path):
    path = csv(
        tmp_path / "p.csv", {"prompt_id": "007", "text": "Edema.", "Finding Labels": "Edema |No Finding ", "more": "x"}
    )
    table = read_prompts(path)
    assert table.to_dict("records") == [
        {"prompt_id": "007", "text": "Edema.", "Finding Labels": "Edema|No Finding", "sample_id": ""}
    ]


def test_prompts_may_have_the_structure_of_the_image_table(tmp_path):
    rows = [IMAGE | {"text": "Edema."}, IMAGE | {"sample_id": "b", "text": "Clear.", "Finding Labels": ""}]
    table = read_prompts(csv(tmp_path / "p.csv", *rows))
    assert table["prompt_id"].tolist() == ["00000", "00001"]
    assert table["text"].tolist() == ["Edema.", "Clear."]
    assert table["Finding Labels"].tolist() == ["Edema|Pleural Effusion", ""]


def test_prompts_may_have_the_structure_of_the_originals_table(tmp_path):
    # its file has a space after the last column's name; a spreadsheet adds a byte order mark
    (tmp_path / "p.csv").write_text(
        "dicom_id,split,impression,Finding Label,Finding Labels \nx,3,Edema.,,Edema\n", "utf-8-sig"
    )
    table = read_prompts(tmp_path / "p.csv")
    assert table.to_dict("records") == [
        {"prompt_id": "00000", "text": "Edema.", "Finding Labels": "Edema", "sample_id": "x"}
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("prompt_id,text\na,b\n", "has no column 'Finding Labels'"),
        ("prompt_id,Finding Labels\na,b\n", "has no column 'text'; give it the columns"),
        ("text,Finding Labels\nx,\n ,Edema\n", "row 3: text is empty"),
        ("impression,Finding Labels\nx,\n,Edema\n,Edema\n", r"row 3: text is empty; correct it \(such rows: 2\)"),
        ("prompt_id,text,Finding Labels\na,x,\na,y,\n", "row 3: prompt_id occurs"),
        ("prompt_id,text,Finding Labels\n../a,x,\n", "row 2: prompt_id has characters"),
        ("prompt_id,text,Finding Labels\n", "has no rows"),
        ("", "cannot be read as CSV"),
        ("text,impression,Finding Labels\na,b,\n", "row 2: text and impression, which mean the same, differ"),
        ("sample_id,dicom_id,text,Finding Labels\na,b,c,\n", "row 2: sample_id and dicom_id, which mean the same"),
        ("Sample ID,text,Finding Labels\na,b,\n", "has a column 'Sample ID', which is not read; call it 'sample_id'"),
    ],
)
def test_wrong_prompt_lists_are_explained(tmp_path, content, message):
    (tmp_path / "p.csv").write_text(content)
    with pytest.raises(InputError, match=f"p.csv.*{message}"):
        read_prompts(tmp_path / "p.csv")


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(InputError, match="absent.csv: there is no such file; get it"):
        read_csv(tmp_path / "absent.csv", [], "get it")
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    (tmp_path / "short.csv.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "plain.csv.gz").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "latin.csv").write_bytes("a\ncaf\xe9\n".encode("latin-1"))
    for name in ("short.csv.gz", "plain.csv.gz", "latin.csv"):
        with pytest.raises(InputError, match=f"{name}: cannot be read as CSV .*; get it"):
            read_csv(tmp_path / name, ["a"], "get it")


@pytest.mark.parametrize("rows", ["a,mild, diffuse edema\n", "a,mild, diffuse edema\nb,edema\n", "a,b,c,d\n"])
def test_rows_with_more_cells_than_the_header_are_an_error(tmp_path, rows):
    (tmp_path / "p.csv").write_text("id,text\n" + rows)
    with pytest.raises(InputError, match="p.csv: its rows have more cells than its header; put texts with a comma in"):
        read_csv(tmp_path / "p.csv", ["id", "text"], "get it")
    (tmp_path / "p.csv").write_text("id,text\nb,edema\n" + rows)  # pandas itself refuses those after shorter ones
    with pytest.raises(InputError, match="p.csv: cannot be read as CSV .*line 3"):
        read_csv(tmp_path / "p.csv", ["id", "text"], "get it")


def test_short_rows_and_a_header_alone_can_be_read(tmp_path):
    (tmp_path / "p.csv").write_text('id,text\na\nb,"mild, diffuse edema"\n')
    assert read_csv(tmp_path / "p.csv", ["id"], "")["text"].tolist() == ["", "mild, diffuse edema"]
    (tmp_path / "p.csv").write_text("id,text\n")
    assert read_csv(tmp_path / "p.csv", ["id", "text"], "").empty


def test_counts_keep_their_order(tmp_path):
    write_counts({"read": 5, "view, lateral": 2, "kept": 3}, tmp_path / "counts.csv")
    assert (tmp_path / "counts.csv").read_text() == 'reason,count\nread,5\n"view, lateral",2\nkept,3\n'


# Generated images

SAMPLES = "image_id,prompt_id,repeat,text,Finding Labels,path\n"


def samples(folder, *rows):
    folder.mkdir(exist_ok=True)
    (folder / "samples.csv").write_text(SAMPLES + "".join(f"{row}\n" for row in rows))
    return folder / "samples.csv"


def test_shards_of_samples_are_read_one_after_the_other(tmp_path):
    lists = [
        samples(tmp_path / "shard0", "00000-0,007,0,a,Edema,images/0.png", "00000-1,007,1,a,Edema,images/1.png"),
        samples(tmp_path / "shard1"),
        samples(tmp_path / "shard2", "00001-0,008,0,NA,,images/2.png"),
    ]
    table = read_samples(lists)
    assert table["prompt_id"].tolist() == ["007", "007", "008"] and table["repeat"].tolist() == [0, 1, 0]
    assert table["text"].tolist() == ["a", "a", "NA"]
    paths = [("shard0", "0"), ("shard0", "1"), ("shard2", "2")]
    assert table["path"].tolist() == [str(tmp_path / shard / "images" / f"{name}.png") for shard, name in paths]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["b,x,-1,t,,p"], "shard1/samples.csv, row 2: repeat is not a whole number"),
        (["b,x,0,t,,p", "a,x,0,t,,p"], "shard1/samples.csv, row 3: another list has this image too"),
        (["b,x,0,t,,p", "b,x,0,t,,p"], "shard1/samples.csv, row 3: image_id occurs in an earlier row too"),
    ],
)
def test_lists_of_samples_that_do_not_fit_are_explained(tmp_path, rows, message):
    first = samples(tmp_path / "shard0", "a,x,0,t,,p")
    with pytest.raises(InputError, match=message):
        read_samples([first, samples(tmp_path / "shard1", *rows)])


@pytest.mark.parametrize(
    ("labels", "row", "name"),
    [
        (["Edema", "Effusion", ""], 3, "Effusion"),  # NIH ChestX-ray14's
        (["Nodule|Edema"], 2, "Nodule"),
        (["pleural effusion"], 2, "pleural effusion"),
        (["Edema,Pneumonia"], 2, "Edema,Pneumonia"),
        (["dog"], 2, "dog"),  # MS-COCO's
    ],
)
def test_labels_of_another_data_set_are_refused_wherever_they_come_in(tmp_path, labels, row, name):
    file = tmp_path / "table.csv"
    cells = {"Finding Labels": labels, "text": "edema", "impression": "edema", "split": "train"}
    ids = [f"a{i}" for i in range(len(labels))]
    message = re.escape(f"{file}, row {row}: Finding Labels has another name ('{name}') than Atelectasis, ")

    pd.DataFrame(cells | {"prompt_id": ids}).to_csv(file, index=False)
    with pytest.raises(InputError, match=message):
        read_prompts(file)
    if name != "dog":
        pd.DataFrame(cells | dict.fromkeys(("sample_id", "subject_id", "study_id", "path"), ids)).to_csv(
            file, index=False
        )
        with pytest.raises(InputError, match=message):
            read_images(file)
        places = {"image_id": ids, "prompt_id": ids, "repeat": 0, "path": "a.png"}
        pd.DataFrame(cells | places).to_csv(file, index=False)
        with pytest.raises(InputError, match=message):
            read_samples([file])
    raw = {"dicom_id": ids, "subject_id": "10000032", "study_id": "1", "ViewPosition": "PA", "path": "files/p10/a.dcm"}
    pd.DataFrame(cells | raw | {"split": 1}).to_csv(file, index=False)
    with pytest.raises(InputError, match=message):
        read_prepared(file)


def test_labels_of_prompts_are_those_of_their_data_set(tmp_path):
    file = tmp_path / "prompts.csv"
    file.write_text("text,Finding Labels\na dog,dog | car\n")
    assert read_prompts(file, COCO_NAMES)["Finding Labels"].tolist() == ["dog|car"]
    file.write_text("text,Finding Labels\nedema, Edema |No Finding\nnothing,\n")
    assert read_prompts(file)["Finding Labels"].tolist() == ["Edema|No Finding", ""]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_csv_in_another_encoding_says_so(tmp_path, encoding, compressed):
    content = "text,Finding Labels\ncaf\u00e9,\n".encode(encoding)
    path = tmp_path / ("p.csv.gz" if compressed else "p.csv")
    path.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(
        InputError,
        match=r"p.csv(.gz)?: cannot be read as CSV \(it is not UTF-8 text: byte 0x(e9|ff); .* save it as UTF-8",
    ):
        read_prompts(path)


def test_a_csv_in_utf_8_is_read_with_its_byte_order_mark(tmp_path):
    (tmp_path / "p.csv").write_bytes("text,Finding Labels\ncaf\u00e9,\n".encode("utf-8-sig"))
    assert read_prompts(tmp_path / "p.csv")["text"].tolist() == ["caf\u00e9"]


def test_two_columns_of_one_name_are_an_error(tmp_path):
    (tmp_path / "p.csv").write_text("text,Finding Labels,Finding Labels\na,Edema,Pneumonia\n")
    with pytest.raises(InputError, match="p.csv: has two columns 'Finding Labels'; remove one"):
        read_prompts(tmp_path / "p.csv")


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_csv_with_other_separators_says_so(tmp_path, mark, name):
    (tmp_path / "p.csv").write_text(f"text{mark}Finding Labels\nclear{mark}Edema\n")
    with pytest.raises(InputError, match=f"because {name} separate its columns; write it with commas"):
        read_prompts(tmp_path / "p.csv")


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (37, 53), (90, 64)])
def test_compressed_runs_of_a_mask_are_read_as_pycocotools_writes_them(shape):
    rng = np.random.default_rng(0)
    block = np.zeros(shape, dtype=bool)
    block[: shape[0] // 2 + 1, shape[1] // 3 :] = True
    for mask in (np.zeros(shape, dtype=bool), np.ones(shape, dtype=bool), block, rng.random(shape) < 0.3):
        written = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        assert encoded_runs({"size": [*shape], "counts": written["counts"].decode()}) == written


@pytest.mark.parametrize("counts", ["", "0", "01", "`", "rubb{{ish", [1, 2], [-1, 5], [1, "3"], None])
def test_runs_that_do_not_cover_the_mask_are_none(counts):
    """Also those without a pixel, of which pycocotools would make a mask of what lies in memory."""
    assert encoded_runs({"size": [2, 2], "counts": counts}) is None
