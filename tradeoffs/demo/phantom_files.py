"""Phantoms in the raw layouts of MIMIC-CXR-JPG, its reports and MS-CXR: one code path reads demo and real data."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
from PIL import Image
from tqdm import tqdm

from tradeoffs.data.findings import CHEXPERT_LABELS, MSCXR_FINDINGS
from tradeoffs.demo.phantom_reports import impression, phrase, report
from tradeoffs.demo.phantoms import draw_findings, render
from tradeoffs.randomness import numpy_rng

JPG_FOLDER, REPORTS_FOLDER, MSCXR_FOLDER = "mimic-cxr-jpg", "mimic-cxr", "ms-cxr"
FIRST_SUBJECT = 10_000_032
SECOND_STUDY = 5_000_000  # added to a study's number for the same person's second one


@dataclass(frozen=True)
class _Study:
    """One study of one frontal image, sometimes with a lateral one."""

    subject: int
    study: int
    split: str  # MIMIC's own: train, validate or test
    boxed: bool  # listed in MS-CXR
    lateral: bool


def write_phantoms(
    folder: str | Path, seed: int, train: int, val: int, p19: int, mscxr: int, workers: int = 1
) -> dict[str, int]:
    """Writes `folder`/mimic-cxr-jpg, mimic-cxr (reports) and ms-cxr with so many frontal images per split.

    One in ten MS-CXR patients has a second study in MIMIC's training split, and a few studies have a lateral view: both
    must be left out by preparation. The same seed writes the same bytes, whatever the number of workers.
    Returns the number of images written, frontal and lateral.
    """
    folder = Path(folder)
    studies = list(_plan(seed, train, val, p19, mscxr))
    write = partial(_write_study, folder, seed)
    if workers > 1:
        with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
            written = list(tqdm(pool.map(write, studies, chunksize=32), total=len(studies), desc="phantoms"))
    else:
        written = [write(study) for study in tqdm(studies, desc="phantoms")]

    jpg = folder / JPG_FOLDER
    metadata = pd.DataFrame([row for rows, _, _ in written for row in rows])
    metadata.drop(columns="split").to_csv(jpg / "mimic-cxr-2.0.0-metadata.csv.gz", index=False, compression=_GZIP)
    split = metadata[["dicom_id", "study_id", "subject_id", "split"]]
    split.to_csv(jpg / "mimic-cxr-2.0.0-split.csv.gz", index=False, compression=_GZIP)
    chexpert = pd.DataFrame([labels for _, labels, _ in written], columns=["subject_id", "study_id", *CHEXPERT_LABELS])
    chexpert.to_csv(jpg / "mimic-cxr-2.0.0-chexpert.csv.gz", index=False, compression=_GZIP)
    boxes = pd.DataFrame([box for _, _, rows in written for box in rows], columns=_BOX_COLUMNS)
    (folder / MSCXR_FOLDER).mkdir(parents=True, exist_ok=True)
    boxes.to_csv(folder / MSCXR_FOLDER / "MS_CXR_Local_Alignment_v1.0.0.csv", index=False)
    views = metadata["ViewPosition"].isin(["AP", "PA"])
    return {"frontal": int(views.sum()), "lateral": int((~views).sum())}


_GZIP = {"method": "gzip", "mtime": 0}
_BOX_COLUMNS = [
    "category_name", "label_text", "path", "x", "y", "w", "h", "image_width", "image_height", "dicom_id",
]  # fmt: skip


def _plan(seed: int, train: int, val: int, p19: int, mscxr: int) -> Iterator[_Study]:
    """Subjects and studies. Subject numbers 10... to 18... are the development folders, 19... the test population."""
    rng = numpy_rng(seed, "plan")
    per_folder = {folder: FIRST_SUBJECT % 1_000_000 for folder in range(10, 20)}

    def subject(folder: int) -> int:
        per_folder[folder] += int(rng.integers(1, 90))
        return folder * 1_000_000 + per_folder[folder]

    study = 50_000_000
    for split, boxed, count in (
        ("train", False, train),
        ("validate", False, val),
        ("p19", False, p19),
        ("test", True, mscxr),
    ):
        person, left = 0, 0
        for _ in range(count):
            study += int(rng.integers(1, 900))
            if left == 0:  # a new person with one or two studies; MS-CXR's have one each
                person = subject(19 if split == "p19" else int(rng.integers(10, 19)))
                left = 1 if boxed else int(rng.integers(1, 3))
            left -= 1
            mimic_split = "train" if split == "p19" else split
            yield _Study(person, study, mimic_split, boxed, lateral=bool(rng.random() < 0.03))
            if boxed and rng.random() < 0.1:
                yield _Study(person, study + SECOND_STUDY, "train", False, lateral=False)


def _write_study(folder: Path, seed: int, study: _Study) -> tuple[list[dict], list, list[dict]]:
    """Writes images and report of a study; returns its rows of the metadata, CheXpert and MS-CXR tables."""
    rng = numpy_rng(seed, "study", study.study)
    share = rng.random()
    count = (1 if share < 0.35 else 2) if study.boxed else (0 if share < 0.15 else 1 if share < 0.5 else 2)
    names = [str(name) for name in rng.permutation(MSCXR_FINDINGS)[:count]]
    findings = draw_findings(rng, names)
    phantom = render(findings, (seed, study.subject), (seed, study.study))
    seen = [(f, b) for f, b in zip(findings, phantom.boxes, strict=True) if b]  # the pose may cut a finding off
    phrases = [phrase(f, rng) for f, _ in seen]
    text, labels = impression(phrases, [f.name for f, _ in seen], rng)
    content, _ = report(text, phrases, rng)

    place = Path("files") / f"p{str(study.subject)[:2]}" / f"p{study.subject}"
    report_file = folder / REPORTS_FOLDER / place / f"s{study.study}.txt"
    report_file.parent.mkdir(parents=True, exist_ok=True)
    report_file.write_text(content)

    images = [(phantom.image, str(rng.choice(["AP", "PA"])))]
    if study.lateral:
        lateral = render(findings, (seed, study.subject), (seed, study.study, "lateral"), lateral=True)
        images.append((lateral.image, "LATERAL"))
    metadata = []
    for pixels, view in images:
        dicom_id = _dicom_id(seed, study.study, view)
        path = place / f"s{study.study}" / f"{dicom_id}.jpg"
        (folder / JPG_FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / JPG_FOLDER / path, quality=92)
        metadata.append(_metadata_row(study, dicom_id, view, pixels.shape))
    labels_row = [study.subject, study.study, *(labels.get(label) for label in CHEXPERT_LABELS)]

    boxes = []
    if study.boxed:
        dicom_id = metadata[0]["dicom_id"]
        listed_path = (place / f"s{study.study}" / f"{dicom_id}.jpg").as_posix()
        height, width = phantom.image.shape
        for (finding, found), label_text in zip(seen, phrases, strict=True):
            for x, y, w, h in found:
                row = (finding.name, label_text, listed_path, x, y, w, h, width, height, dicom_id)
                boxes.append(dict(zip(_BOX_COLUMNS, row, strict=True)))
    return metadata, labels_row, boxes


def _dicom_id(*keys: object) -> str:
    digest = hashlib.sha256("-".join(map(str, keys)).encode()).hexdigest()
    return "-".join(digest[i : i + 8] for i in range(0, 40, 8))


def _metadata_row(study: _Study, dicom_id: str, view: str, shape: tuple[int, ...]) -> dict:
    frontal = view != "LATERAL"
    return {
        "dicom_id": dicom_id,
        "subject_id": study.subject,
        "study_id": study.study,
        "PerformedProcedureStepDescription": "CHEST (PORTABLE AP)" if view == "AP" else "CHEST (PA AND LAT)",
        "ViewPosition": view,
        "Rows": shape[0],
        "Columns": shape[1],
        "StudyDate": 21_500_101,
        "StudyTime": 120_000.0,
        "ProcedureCodeSequence_CodeMeaning": "CHEST (PORTABLE AP)" if view == "AP" else "CHEST (PA AND LAT)",
        "ViewCodeSequence_CodeMeaning": {"AP": "antero-posterior", "PA": "postero-anterior"}.get(view, "lateral"),
        "PatientOrientationCodeSequence_CodeMeaning": "Erect" if frontal else "",
        "split": study.split,
    }
