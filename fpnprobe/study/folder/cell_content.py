"""The content of a cell's folder: brought back, put into the archive, or deleted."""

import contextlib
import itertools
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from fpnprobe.errors import FpnProbeError
from fpnprobe.store import locks
from fpnprobe.store.cell import LOCK, MANIFEST, StoredCell, write_manifest
from fpnprobe.store.cell_state import State
from fpnprobe.store.study import find_cell_folders
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output


def settle(cell: Cell, *, is_ours: Callable[[StoredCell], bool] = lambda _: False) -> list[str]:
    """Make the folder hold nothing but what belongs to the cell's key; its lock must be held.

    Content of another key moves to the archive of that key, content of this key comes back from
    its archive, and temporary files of a killed process go. A move that was killed is finished.
    Content whose manifest is missing or damaged is never deleted: it stays where `is_ours` knows it
    by other means (the manifest is then written anew), else it moves to `archive/damaged-<n>`.

    Returns:
        Sentences about damage, for the log and the manifest.

    Raises:
        FpnProbeError: If the disk fails to read the manifest.
    """
    remove_temporaries(cell.folder.rglob(".*"))
    try:
        (cell.folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        pass
    except OSError as error:  # a moment's failure of a disk must not cost what is there
        raise FpnProbeError(
            f"{cell.folder / MANIFEST} cannot be read ({error.strerror}): nothing was "
            "changed; run the same command again"
        ) from None
    stored, notes = cell.stored(lock_is_ours=True), list[str]()
    if stored.state is State.DAMAGED:
        if is_ours(stored):
            notes.append(f"{stored.reason}: written anew, since the weights are those of the cell")
        else:
            target = _next_damaged(cell.out)
            _move_content(cell.folder, target)
            notes.append(f"{stored.reason}: what was there is now in {target}")
    elif stored.manifest and stored.manifest.get("key") != cell.key:
        _move_content(cell.folder, archive_of(cell.out, stored))
    if cell.archive.is_dir():
        _move_content(cell.archive, cell.folder)
        cell.archive.rmdir()
        with contextlib.suppress(OSError):
            cell.archive.parent.rmdir()
    return notes


def archive_of(out: Path, stored: StoredCell) -> Path:
    """Name the archive of a stored cell: by its key, if that is one, and never outside.

    >>> from dataclasses import replace
    >>> key = "0123456789abcdef" * 4
    >>> cell = StoredCell.read("none")
    >>> archive_of(Path("out"), replace(cell, manifest={"key": key})).as_posix()
    'out/archive/0123456789abcdef'
    >>> archive_of(Path("out"), replace(cell, manifest={"key": "../../x"})).as_posix()
    'out/archive/damaged-1'
    """
    key = stored.manifest.get("key") or ""
    if re.fullmatch("[0-9a-f]{16,64}", key):
        return out / "archive" / str(key)[:16]
    return _next_damaged(out)


def _next_damaged(out: Path) -> Path:
    """A folder of the archive that is not there yet, so that nothing is written over."""
    numbers = (out / "archive" / f"damaged-{number}" for number in itertools.count(1))
    return next(folder for folder in numbers if not folder.exists())


def archive_foreign(output: Output) -> list[str]:
    """Move cells that are not of the study any more out of `cells/`; return what moved."""
    ours, moved = {cell.folder for cell in output.cells}, []
    for folder in find_cell_folders(output.out):
        if folder in ours:
            continue
        with contextlib.suppress(locks.Taken), locks.held(folder / LOCK, wait=0):
            stored = StoredCell.read(folder, lock_is_ours=True)
            _move_content(folder, archive_of(output.out, stored))
            moved.append(stored.title)
        with contextlib.suppress(OSError):
            folder.rmdir()
            folder.parent.rmdir()
    return moved


def forget(cell: Cell) -> None:
    """Delete what a cell has, for `--fresh`."""
    with locks.held(cell.lock):
        stored = cell.stored(lock_is_ours=True)
        if stored.state is State.DONE:  # if we are killed, what is left must not pass for whole
            write_manifest(cell.folder, {**stored.manifest, "state": "running"})
        for content in sorted(cell.folder.iterdir(), key=lambda path: path.name == MANIFEST):
            if content.name != cell.lock.name:
                _remove_path(content)
        _remove_path(cell.archive)


def remove_temporaries(files: Iterable[Path]) -> None:
    """Remove what an atomic write of a killed process left."""
    for file in files:
        if file.is_file():
            file.unlink(missing_ok=True)


def _move_content(source: Path, target: Path) -> None:
    """Move a cell's content into the archive or out of it.

    The manifest goes last into the archive and comes first out of it, so that the cell's folder
    has it as long as the content is in two places.
    """
    away = target.parent.name == "archive"
    if away and (target / MANIFEST).exists():
        shutil.rmtree(target)
    target.mkdir(parents=True, exist_ok=True)
    for content in sorted(source.iterdir(), key=lambda path: (path.name == MANIFEST) == away):
        if content.name != LOCK:
            content.rename(target / content.name)


def _remove_path(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
