"""Files that appear whole or not at all, and the digests that tell whether they changed."""

import glob
import hashlib
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar
from zipfile import BadZipFile

from tqdm.contrib.concurrent import thread_map

SNAKEMAKE_TIMESTAMP = ".snakemake_timestamp"
_IO_THREADS = 16  # the file system is waited for, not the processor
_CHUNK = 256  # a task for each of 400,000 files takes longer than their reading, and half a GB

Result = TypeVar("Result")

# What numpy.load raises for damaged files, for pickles (ValueError), and for arrays that would not fit into memory;
# RuntimeError stands for encryption, NotImplementedError for an unknown compression
UNREADABLE_NPZ = (ValueError, KeyError, OSError, EOFError, MemoryError, RuntimeError, BadZipFile, zlib.error)
# What torch.load raises for damaged files, for those that would run code, and for rubbish that it takes for a pickle
UNREADABLE_WEIGHTS = (
    UnpicklingError, RuntimeError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, struct.error,
)  # fmt: skip


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it to `path` if the block succeeds, removes it if not.

    The block may create a file or a folder there. An existing folder at `path` is replaced.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path, os.getpid())
    try:
        yield temporary
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        _remove(temporary)


def remove_leftovers(path: str | Path) -> None:
    """Removes what processes that were killed within `atomic_path` of this path have left beside it."""
    for leftover in Path(path).parent.glob(_temporary(Path(glob.escape(Path(path).name)), "*").name):
        _remove(leftover)


def _temporary(path: Path, writer: int | str) -> Path:
    return path.with_name(f".{path.name}.{writer}.tmp{path.suffix}")


def _remove(path: Path) -> None:
    """Removes a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256(*paths: str | Path) -> str:
    """Digest (hex) of the files' names and contents; folders count with every file below them.

    But for the empty file that Snakemake puts into a folder after the job that made it.
    """
    digest = hashlib.sha256()
    for path in map(Path, paths):
        below = (p for p in path.rglob("*") if p.is_file() and p.name != SNAKEMAKE_TIMESTAMP)
        files = sorted(below) if path.is_dir() else [path]
        for file in files:
            digest.update(file.relative_to(path.parent).as_posix().encode())
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def for_each_file(function: Callable[[str], Result], paths: Sequence[str], description: str) -> list[Result]:
    """Calls `function` with each path, in threads and with a progress bar; returns the results in order."""
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    results = thread_map(
        lambda chunk: [function(path) for path in chunk], chunks, max_workers=_IO_THREADS, desc=description
    )
    return [result for chunk in results for result in chunk]
