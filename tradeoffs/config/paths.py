"""The folders, files and models that a configuration names: which ones a run needs, and whether they are there."""

import csv
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from tradeoffs.config.faults import Fault, input_error
from tradeoffs.config.schema import Config
from tradeoffs.config.sections.data import Data, GroundingSet
from tradeoffs.config.starts import source_of
from tradeoffs.data.raw_files import (
    BOX_TABLES,
    CHESTXRAY14_ENTRIES,
    MIMIC_TABLES,
    MS_CXR_TABLE,
    OPEN_I_METADATA,
    OPEN_I_REPORTS,
    coco_annotations,
    newest,
)
from tradeoffs.data.sets import COCO, CXR, OPEN_CXR, data_set
from tradeoffs.errors import InputError
from tradeoffs.files import sha256
from tradeoffs.packages import check_tracker, package_folder

REMEDY_OF_LOCKED = "ask its owner for access, or copy it to a place of your own"

# networks for fidelity that are folders, not files
NETWORK_FOLDERS = {f"evaluation.extractors.{name}" for name in ("findings_classifier", "dinov2")}


def _contents(data: Data) -> dict[str, list[str]]:
    """The folders that a run on files needs, by key, and what is read in them: patterns of tables (see `newest`), and
    folders of images or reports."""
    folders: dict[str, list[str]] = {}
    sources = {data_set(name, data.cxr).source for name in data.sets}
    if "open" in sources:
        folders["open_i"] = [OPEN_I_METADATA, OPEN_I_REPORTS, "png"]
        folders["chestxray14"] = [*BOX_TABLES["chestxray14"], CHESTXRAY14_ENTRIES, "images"]
    if "mimic" in sources:
        folders["mimic_cxr_jpg"] = ["files"] if data.mimic_prepared else [*MIMIC_TABLES.values(), "files"]
        if not data.mimic_prepared:
            folders["mimic_cxr_reports"] = ["files"]
        folders["ms_cxr"] = [MS_CXR_TABLE]
    if "coco" in sources:
        parts = ["val2017"] if data.coco_prepared else ["train2017", "val2017"]
        annotations = [coco_annotations(kind, part) for kind in ("captions", "instances") for part in parts]
        folders["coco"] = [*annotations, "train2017", "val2017"]
    return folders


def raw_tables(data: Data, *keys: str) -> list[str]:
    """The CSV and JSON files that a run on files reads in the folders of these keys, as far as they are there."""
    read = {key: contents for key, contents in _contents(data).items() if key in keys and getattr(data, key)}
    found = [newest(getattr(data, key), pattern) for key, contents in read.items() for pattern in contents]
    return [str(path) for path in found if path and path.is_file()]


def check_paths(config: Config) -> None:
    """Raises InputError if a folder or file that the run needs is not there (see `missing_paths`), or says at first
    sight that it will not do."""
    faults = missing_paths(config) or prompts_without_images(config)
    if faults:
        raise input_error(faults)


def missing_paths(config: Config) -> list[Fault]:
    """The folders, files and packages that the run needs and that are not there, or may not be read.

    Of the raw data, looks only at what `data.source` and `data.sets` need.
    """
    locked = {key: path for key, path in _named(config).items() if is_locked(path)}
    faults = [Fault(key, f"you may not read {path}", REMEDY_OF_LOCKED) for key, path in locked.items()]
    for key, folder in folders_of(config.data).items():
        if f"data.{key}" not in locked:
            faults += _folder_faults(f"data.{key}", folder, _contents(config.data)[key])
    for key, file in files_of(config).items():
        if key in locked:
            continue
        kind = "folder" if key in NETWORK_FOLDERS else "file"
        if key.startswith("external_samples."):
            kind, found = "folder or CSV", Path(file).exists()
        else:
            found = Path(file).is_dir() if kind == "folder" else Path(file).is_file()
        if not found:
            faults.append(Fault(key, _absent(kind, file), "correct the path or remove the key"))
    for name, of_set in config.grounding.items():
        if not locked.keys() & {f"grounding.{name}.path", f"grounding.{name}.images"}:
            faults += _set_faults(f"grounding.{name}", of_set)
    for key, source in sources_of(config).items():
        if key in locked:
            continue
        try:
            if source.kind_of(source.path) != "hub" and source.revision:
                key_of_revision = f"{key.removesuffix('.source')}.revision"
                faults.append(Fault(key_of_revision, "only a hub id has revisions", "remove the key"))
        except InputError as error:
            faults.append(Fault(key, str(error)))
    return faults + [fault for key, name in trackers_of(config).items() for fault in _tracker_faults(key, name)]


def _named(config: Config) -> dict[str, str]:
    """All paths, and what may be one, that the configuration names for the run, by dotted key."""
    named = {f"data.{key}": folder for key, folder in folders_of(config.data).items() if folder} | files_of(config)
    for name, of_set in config.grounding.items():
        named |= {f"grounding.{name}.path": of_set.path}
        named |= {f"grounding.{name}.images": of_set.images} if of_set.images else {}
    return named | {key: source.path for key, source in sources_of(config).items()}


def is_locked(path: str) -> bool:
    """Whether a file or folder, or one on the way to it, may not be read by who runs this."""
    try:
        if os.path.isdir(path):
            os.scandir(path).close()
            os.stat(os.path.join(path, "."))  # into it
        else:
            open(path, "rb").close()
    except PermissionError:
        return True
    except OSError:  # such as not there
        return False
    return False


def prompts_without_images(config: Config) -> list[Fault]:
    """What is wrong where samples are compared with the images of prompts whose list has no column of image ids.

    Only of a list whose header is read at sight: of a compressed one, another encoding or separator its reader tells.
    """
    file = files_of(config).get("data.prompts")
    if file is None or config.evaluation.reference != "prompts":
        return []
    try:
        with open(file, newline="", encoding="utf-8-sig") as opened:
            columns = {column.strip() for column in next(csv.reader(opened), [])}
    except (OSError, ValueError, csv.Error):
        return []
    if "Finding Labels" not in columns or not columns.isdisjoint({"sample_id", "dicom_id"}):
        return []
    wrong = f"{file} has no column sample_id or dicom_id, the images that samples are compared with"
    return [Fault("data.prompts", wrong, "add it, or set evaluation.reference to population")]


def unread_keys(config: Config) -> list[str]:
    """The dotted keys of raw data that the configuration names although the run draws phantoms."""
    keys = [key for one in (CXR, OPEN_CXR, COCO) for key in (*one.folders, one.prepared) if key]
    return [f"data.{key}" for key in keys if getattr(config.data, key) and config.data.source == "phantoms"]


def folders_of(data: Data) -> dict[str, str | None]:
    """The folders of raw data that a run needs, by their key in the section data; None where it is not set."""
    return {key: getattr(data, key) for key in _contents(data)} if data.source == "files" else {}


def files_of(config: Config) -> dict[str, str]:
    """The single files that a run reads, but for the base, by dotted key; some networks and external samples are
    folders."""
    files = {f"external.{name}": file for name, file in config.external.items()}
    sets = [config.set_of(dataset) for dataset in config.data.sets]
    used = {name for dataset in config.data.sets for name in config.extractors_of(dataset).values()}
    extractors = {name: file for name, file in config.evaluation.extractors if file and name in used}
    files |= {f"evaluation.extractors.{name}": file for name, file in extractors.items()}
    if config.data.source == "files":
        keys = [of_set.prepared for of_set in sets if of_set.prepared]
        tables = {f"data.{key}": getattr(config.data, key) for key in keys}
        files |= {key: file for key, file in tables.items() if file}
    has_findings = any(of_set.has_findings for of_set in sets)
    if has_findings:
        files |= {f"external_samples.{name}": source for name, source in config.external_samples.items()}
    if config.data.prompts_file:
        files["data.prompts"] = config.data.prompts_file
    if has_findings and any(variant.text == "sentences" for variant in config.variants.values()):
        files["data.sentences"] = config.data.sentences
    return files


class Source(NamedTuple):
    """A model that a run reads: where it is, its revision if it is a hub id, and what says which kind it is."""

    path: str
    revision: str | None
    kind_of: Callable[[str], str]


def sources_of(config: Config) -> dict[str, Source]:
    """The models that a run reads, by dotted key: the base, the text encoders and those of variants."""
    sources = {"base.source": Source(config.base.source, config.base.revision, base_kind)}
    used = {variant.encoder for variant in config.variants.values() if variant.encoder}
    for name, encoder in config.encoders.items():
        if name in used:
            sources[f"encoders.{name}.source"] = Source(encoder.source, encoder.revision, encoder_kind)
    for name, variant in config.variants.items():
        if given := source_of(variant):
            sources[f"variants.{name}.{'model' if variant.model else 'from'}"] = Source(given, None, base_kind)
    return sources


def trackers_of(config: Config) -> dict[str, str]:
    """The trackers that fine-tunings report to, by dotted key."""
    named = {"training.log_with": config.training.log_with} | {
        f"variants.{name}.training.log_with": getattr(variant.training, "log_with", None)
        for name, variant in config.variants.items()
    }
    return {key: name for key, name in named.items() if name}


def _tracker_faults(key: str, name: str) -> Iterator[Fault]:
    try:
        check_tracker(name)
    except InputError as error:
        yield Fault(key, str(error))


def _folder_faults(key: str, folder: str | None, contents: list[str]) -> list[Fault]:
    if folder is None:
        remedy = "set it to the folder you downloaded (or see data.sets)"
        return [Fault(key, "not set, but data.source files needs it", remedy)]
    path = Path(folder)
    if not path.exists():
        return [Fault(key, f"there is no folder {path}", "correct the path")]
    if not path.is_dir():
        return [Fault(key, f"{path} is a file", f"give the folder that holds {' and '.join(contents)}")]
    missing = [pattern for pattern in contents if not newest(path, pattern)]
    if missing:
        return [Fault(key, f"the folder {path} holds no {' and no '.join(missing)}", "give the folder that does")]
    return []


def _set_faults(key: str, of_set: GroundingSet) -> Iterator[Fault]:
    if of_set.layout != "csv":
        yield from _folder_faults(f"{key}.path", of_set.path, BOX_TABLES[of_set.layout])
    elif not Path(of_set.path).is_file():
        yield Fault(f"{key}.path", _absent("file", of_set.path), "correct the path or remove the set")
    if of_set.images and not Path(of_set.images).is_dir():
        yield Fault(f"{key}.images", _absent("folder", of_set.images), "correct the path or remove the key")


def _absent(kind: str, path: str) -> str:
    """What is wrong with a path at which there is no file or folder, as the kind says."""
    if Path(path).exists():
        return f"{path} is a {'file' if kind == 'folder' else 'folder'}, and a {kind} is needed"
    return f"there is no {kind} {path}"


def images_of_set(of_set: GroundingSet) -> str:
    """The folder of a set's images: its own key, or the folder of the CSV or of the set."""
    return of_set.images or (str(Path(of_set.path).parent) if of_set.layout == "csv" else of_set.path)


def tables_of_set(of_set: GroundingSet) -> list[str]:
    """The files that a set's boxes are read from, as far as they are there."""
    if of_set.layout == "csv":
        return [of_set.path]
    return [str(path) for pattern in BOX_TABLES[of_set.layout] for path in sorted(Path(of_set.path).glob(pattern))]


def base_kind(source: str) -> Literal["folder", "file", "hub"]:
    """What `base.source` is: a diffusers folder, an LDM file, or a hub id (which is not looked up).

    Raises InputError if it is none of them.
    """
    path = Path(source)
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise InputError(f"the folder {source} has no model_index.json; give a diffusers folder")
        return "folder"
    if path.suffix in (".ckpt", ".safetensors"):
        if not path.is_file():
            raise InputError(f"there is no file {source}; correct the path")
        return "file"
    if _is_hub_id(source):
        return "hub"
    _refuse_absent(source)
    raise InputError(
        f"{source} is neither a diffusers folder, nor a .ckpt or .safetensors file, nor a hub id owner/name; correct it"
    )


def encoder_kind(source: str) -> Literal["folder", "package", "hub"]:
    """What an encoder's source is: a folder in transformers' layout, one in a Python package, or a hub id.

    Raises InputError if it is none of them, or the package is not installed.
    """
    if source.startswith("package:"):
        package_folder(source)
        return "package"
    if Path(source).is_dir():
        return "folder"
    if _is_hub_id(source):
        return "hub"
    _refuse_absent(source)
    raise InputError(f"{source} is neither a folder, nor a hub id owner/name, nor package:name; correct it")


def content_of(source: str) -> str | None:
    """Digest of the files of a base or encoder that is a folder or in a package; None for a hub id or single file."""
    if source.startswith("package:"):
        return sha256(package_folder(source))
    return sha256(source) if os.path.isdir(source) and not is_locked(source) else None


def _refuse_absent(source: str) -> None:
    if not Path(source).exists():
        raise InputError(f"there is no file or folder {source}, and it is no hub id owner/name; correct the path")


def _is_hub_id(source: str) -> bool:
    # A path below an existing folder (resources/demo_bse) is a slip, not a hub id
    return bool(re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source)) and not Path(source).parent.is_dir()
