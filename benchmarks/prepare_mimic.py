"""Reading and preparing the tables and reports of MIMIC-CXR, on generated files of its size and layout.

960,000 small files and folders are written to the temporary folder and deleted. Texts are put together from a few
phrases; images are hard links to a few grey JPEGs, of which preparation reads header and end.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.measuring import Row, alone, at_most_value, markdown
from tradeoffs.data import mimic, mscxr
from tradeoffs.data.findings import CHEXPERT_LABELS, MSCXR_FINDINGS
from tradeoffs.data.tables import read_grounding, read_images, write_table

IMAGES, STUDIES, SUBJECTS = 377_110, 227_835, 65_379
BOXED_IMAGES = 1000
MINUTES, GIGABYTES = 5, 4  # the limits
_LINKS = 50_000  # to one file; ext4 allows 65,000
_SENTENCES = (
    "The lungs are clear without consolidation, effusion or pneumothorax.",
    "There is a small left pleural effusion with adjacent atelectasis.",
    "The cardiac and mediastinal silhouettes are unchanged since ___.",
    "Mild interstitial edema has improved; bibasilar opacities persist.",
    "A right internal jugular catheter ends in the upper SVC.",
)


def write_files(folder: Path, images: int, studies: int, subjects: int) -> None:
    """Writes mimic-cxr-jpg, mimic-cxr (reports) and ms-cxr into `folder`, with so many images, studies and subjects."""
    rng = np.random.default_rng(0)
    jpg, reports, ms_cxr = (folder / name for name in ("mimic-cxr-jpg", "mimic-cxr", "ms-cxr"))
    for path in (jpg, reports, ms_cxr):
        path.mkdir()
    subject = 10_000_000 + np.sort(rng.choice(9_999_999, subjects, replace=False))
    of_study = np.sort(np.r_[np.arange(subjects), rng.integers(subjects, size=studies - subjects)])
    study = 50_000_000 + rng.choice(9_999_999, studies, replace=False)
    of_image = np.sort(np.r_[np.arange(studies), rng.integers(studies, size=images - studies)])
    metadata = pd.DataFrame(
        {
            "dicom_id": ["-".join(f"{part:08x}" for part in parts) for parts in rng.integers(2**32, size=(images, 5))],
            "subject_id": subject[of_study[of_image]],
            "study_id": study[of_image],
            "PerformedProcedureStepDescription": "CHEST (PA AND LAT)",
            "ViewPosition": rng.choice(["PA", "AP", "LATERAL", "LL", ""], images, p=[0.25, 0.4, 0.2, 0.1, 0.05]),
            "Rows": 3056,
            "Columns": 2544,
            "StudyDate": rng.integers(21_000_101, 22_001_231, images),
            "StudyTime": rng.uniform(0, 235_959, images).round(3),
            "ProcedureCodeSequence_CodeMeaning": "CHEST (PA AND LAT)",
            "ViewCodeSequence_CodeMeaning": "postero-anterior",
            "PatientOrientationCodeSequence_CodeMeaning": "Erect",
        }
    )
    metadata.to_csv(jpg / "mimic-cxr-2.0.0-metadata.csv.gz", index=False)
    labels = rng.choice([1.0, 0.0, -1.0, np.nan], (studies, len(CHEXPERT_LABELS)), p=[0.12, 0.05, 0.03, 0.8])
    chexpert = pd.DataFrame(labels, columns=CHEXPERT_LABELS)
    chexpert.insert(0, "subject_id", subject[of_study])
    chexpert.insert(1, "study_id", study)
    chexpert.iloc[8:].to_csv(jpg / "mimic-cxr-2.0.0-chexpert.csv.gz", index=False)
    split = rng.choice(["train", "validate", "test"], subjects, p=[0.98, 0.01, 0.01])[of_study[of_image]]
    splits = metadata[["dicom_id", "study_id", "subject_id"]].assign(split=split)
    splits.to_csv(jpg / "mimic-cxr-2.0.0-split.csv.gz", index=False)

    boxed = metadata.iloc[np.sort(rng.choice(images, min(BOXED_IMAGES, images // 10), replace=False))]
    boxes = pd.DataFrame(
        {
            "category_name": rng.choice(MSCXR_FINDINGS, len(boxed)),
            "label_text": "small left pleural effusion",
            "x": 100, "y": 200, "w": 300, "h": 400, "image_width": 2544, "image_height": 3056,
            "dicom_id": boxed["dicom_id"],
        }
    )  # fmt: skip
    boxes.to_csv(ms_cxr / "MS_CXR_Local_Alignment_v1.0.0.csv", index=False)

    place = [f"files/p{name // 1_000_000}/p{name}" for name in subject]
    folders = [f"{place[of]}/s{number}" for of, number in zip(of_study, study, strict=True)]
    picture = folder / "picture.jpg"
    Image.new("L", (2544, 3056), 90).save(picture)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: (reports / path).mkdir(parents=True), place))
        report_texts = zip(folders, rng.integers(len(_SENTENCES), size=(studies, 8)), strict=True)
        list(pool.map(lambda job: (reports / f"{job[0]}.txt").write_text(_report(job[1])), report_texts))
        list(pool.map(lambda path: (jpg / path).mkdir(parents=True), folders))
        targets = [jpg / folders[of] / f"{name}.jpg" for of, name in zip(of_image, metadata["dicom_id"], strict=True)]
        for start in range(0, images, _LINKS):
            source = folder / f"picture_{start}.jpg"
            shutil.copy(picture, source)
            list(pool.map(lambda target, source=source: os.link(source, target), targets[start : start + _LINKS]))


def _report(choice: np.ndarray) -> str:
    """A report of about 1 kB with one of several sets of heads; one in eight has no impression."""
    sentences = [_SENTENCES[i] for i in choice]
    findings, impression = "\n ".join(sentences[:6]), "\n ".join(sentences[6:])
    head = ["IMPRESSION:", "IMPRESSION: ", "CONCLUSION:", "IMPRESSION AND RECOMMENDATION:"][choice[0] % 4]
    ending = f" {head}\n \n {impression}\n" if choice.sum() % 8 else ""
    return (
        "                                 FINAL REPORT\n EXAMINATION:  CHEST (PA AND LAT)\n \n "
        "INDICATION:  ___ year old man with shortness of breath  // eval for pneumonia\n \n "
        "TECHNIQUE:  Frontal and lateral views of the chest.\n \n COMPARISON:  Chest radiograph ___.\n \n "
        f"FINDINGS: \n \n {findings}\n \n{ending}"
    )


def prepare(folder: Path) -> dict[str, float]:
    """Makes the tables as the workflow's rules do; minutes of each on the clock, CPU minutes and peak GB of both."""
    jpg, reports, ms_cxr = (folder / name for name in ("mimic-cxr-jpg", "mimic-cxr", "ms-cxr"))
    start = time.perf_counter()
    images, counts = mimic.prepare_images(jpg, reports, ms_cxr, ["PA", "AP"], 0.01)
    write_table(images, folder / "images.csv")
    halfway = time.perf_counter()
    grounding, _ = mscxr.prepare_grounding(ms_cxr, read_images(folder / "images.csv"))
    write_table(grounding, folder / "grounding.csv")
    read_grounding(folder / "grounding.csv")
    end = time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(counts)
    return {
        "image table": (halfway - start) / 60,
        "grounding table": (end - halfway) / 60,
        "both": (end - start) / 60,
        "CPU": (usage.ru_utime + usage.ru_stime) / 60,
        "memory": usage.ru_maxrss / 1e6,
    }


def rows(scale: float = 1.0) -> list[Row]:
    """The results; scale: share of MIMIC's size."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), *(int(scale * number) for number in (IMAGES, STUDIES, SUBJECTS)))
        measured = alone(prepare, Path(folder))
    what = f"tables of {int(scale * IMAGES):,} images and {int(scale * STUDIES):,} reports, "
    return [
        at_most_value(f"{what}clock ({measured['CPU']:.2f} min of CPU)", measured["both"], "min", MINUTES),
        at_most_value(f"{what}peak memory", measured["memory"], "GB", GIGABYTES),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prepare_mimic")
    parser.add_argument("--scale", type=float, default=1.0, help="share of MIMIC's size, for a quick try")
    print(markdown(rows(parser.parse_args().scale)))
