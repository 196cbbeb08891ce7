"""Work that is divided among jobs, so that neither the division nor a job that was killed changes a number."""

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

from tradeoffs.files import atomic_path

logger = logging.getLogger("tradeoffs")


def rows_of_shard(count: int, batch_size: int, shard: int, shards: int) -> slice:
    """The rows of `count` that fall to one shard: whole batches, and shards one after the other give all rows in order.

    All rows are laid out in batches first, because a batch's composition changes floating-point sums. A job that goes
    through its rows in batches of `batch_size` so computes the very numbers that a single job would. With more shards
    than batches some are empty.
    """
    batches = -(-count // batch_size)
    first, last = (batches * part // shards * batch_size for part in (shard, shard + 1))
    return slice(first, min(last, count))


class Unfinished:
    """What a job has made so far, one file an item or batch, in a folder that goes when the output is whole.

    The folder lies beside the output, which Snakemake empties before it runs a killed job again. Files of a job with
    another `identity` (a digest of all that went in) are thrown away. Files must be written whole or not at all.
    """

    def __init__(self, folder: str | Path, identity: str):
        self.folder = Path(folder)
        note = self.folder / "identity"
        if not note.is_file() or note.read_text() != identity:
            shutil.rmtree(self.folder, ignore_errors=True)
            with atomic_path(note) as temporary:
                temporary.write_text(identity)

    def done(self, names: Iterable[str]) -> int:
        """How many of the files, which are made in this order, are there."""
        count = 0
        for name in names:
            if not (self.folder / name).is_file():
                break
            count += 1
        if count:
            logger.info("going on after %d files in %s", count, self.folder)
        return count

    def remove(self) -> None:
        """Throws the files away, once the output is whole."""
        shutil.rmtree(self.folder)
