import hashlib
import os

import pytest

from tradeoffs.files import atomic_path, remove_leftovers, sha256


def test_file_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "new" / "table.csv.gz"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent and temporary.suffix == ".gz"  # pandas compresses by suffix
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole" and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("folder", [False, True])
def test_failure_leaves_what_was_there(tmp_path, folder):
    target = tmp_path / "result"
    with atomic_path(target) as temporary:
        if folder:
            temporary.mkdir()
        (temporary / "part" if folder else temporary).write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        if folder:
            temporary.mkdir()
        (temporary / "part" if folder else temporary).write_text("half of the n")
        raise KeyboardInterrupt
    assert (target / "part" if folder else target).read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_folder_is_replaced_as_a_whole(tmp_path):
    for name in ("old", "new"):
        with atomic_path(tmp_path / "model") as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("name", ["model", "table.csv", "samples[0].csv.gz"])
def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path, name):
    for kept in (name, f"other_{name}", f".{name}"):
        (tmp_path / kept).touch()
    before = set(tmp_path.iterdir())
    with atomic_path(tmp_path / name) as temporary:
        temporary.touch()
        remove_leftovers(tmp_path / f"other_{name}")
        assert set(tmp_path.iterdir()) == before | {temporary}
        killed = temporary.with_name(temporary.name.replace(str(os.getpid()), "1"))
        killed.mkdir()
        (killed / "part").touch()
        remove_leftovers(tmp_path / name)
        assert set(tmp_path.iterdir()) == before
        temporary.touch()


def test_digest_by_hand(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"content")
    expected = hashlib.sha256(b"a.txt" + hashlib.sha256(b"content").digest()).hexdigest()
    assert sha256(tmp_path / "a.txt") == expected


def test_digest_tells_names_and_contents(tmp_path):
    folder = tmp_path / "here" / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "weights").write_text("1")
    (folder / "index").write_text("2")
    digests = [sha256(folder)]
    (folder / "unet" / "weights").write_text("2")
    digests.append(sha256(folder))
    (folder / "unet" / "weights").rename(folder / "unet" / "other")
    digests.append(sha256(folder))
    (folder / "unet" / "other").rename(folder / "other")
    digests.append(sha256(folder))
    (folder / "other").unlink()
    digests.append(sha256(folder))
    assert len(set(digests)) == 5

    copy = tmp_path / "there" / "model"
    copy.mkdir(parents=True)
    (copy / "index").write_text("2")
    assert sha256(copy) == digests[-1]  # where the folder lies does not matter
    assert sha256(folder, copy) != sha256(folder)


def test_digest_ignores_what_snakemake_adds_to_a_folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_text("1")
    before = sha256(folder)
    (folder / ".snakemake_timestamp").touch()
    assert sha256(folder) == before
