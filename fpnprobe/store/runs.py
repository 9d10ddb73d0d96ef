"""Folders with a ledger as cells of a study: what the hook and `fpnprobe.watch` leave.

A run folder holds `fpnprobe.json` (see `run_file`), or a ledger alone. Several are read as one
study, in the order given: each is a cell, its name is its variant.
"""

import itertools
import os
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import stored_buckets
from fpnprobe.store.cell import MANIFEST, StoredCell
from fpnprobe.store.cell_state import State
from fpnprobe.store.documents import has_type
from fpnprobe.store.run_file import NAME, read_run_file

LEDGER = ("ledger.parquet", "ledger.parts")
_DEEPEST = 6  # folders below the given one that a scan goes into


def is_run(folder: str | Path) -> bool:
    """Tell whether a folder holds a ledger or a run file, and is no cell of a study."""
    path = Path(folder)
    if (path / MANIFEST).exists():
        return False
    return any((path / name).exists() for name in (NAME, *LEDGER))


def find_runs(tree: str | Path) -> Iterator[Path]:
    """Yield the run folders in a tree, in order; below one, and in studies, nothing is looked for.

    Links are not followed.
    """
    root = Path(tree)
    if is_run(root):
        yield root
        return
    yield from _folders_below(root, _DEEPEST)


def _folders_below(directory: Path, depth: int) -> Iterator[Path]:
    if depth == 0 or (directory / "study.json").exists():
        return
    try:
        inner = sorted(e for e in directory.iterdir() if e.is_dir() and not e.is_symlink())
    except OSError:
        return
    for child in inner:
        if child.name.startswith("."):
            continue
        if is_run(child):
            yield child
        else:
            yield from _folders_below(child, depth - 1)


def read_run(folder: str | Path, *, variant: str = "", seed: int | None = None) -> StoredCell:
    """Read a run folder as a cell; never raises for what is in it.

    Args:
        folder: The folder.
        variant: What it is called; by default as its run file says, else as the folder.
        seed: Its seed; by default as its run file says.
    """
    path = Path(folder)
    content: Mapping[str, Any] = {}
    state, reason = State.DONE, ""
    if (path / NAME).exists():
        try:
            content = _check_types(read_run_file(path))
            state, reason = _read_state(content)
        except FpnProbeError as error:
            state, reason = State.DAMAGED, str(error).replace(f"{path}/", "")
    return StoredCell(
        folder=path,
        variant=variant or str(content.get("variant") or "") or path.absolute().name,
        seed=seed if seed is not None else int(content.get("seed") or 0),
        manifest=content,
        state=state,
        reason=reason,
    )


def read_runs(folders: Sequence[str | Path], *, names: Sequence[str] = ()) -> list[StoredCell]:
    """Read run folders as cells with different names or seeds.

    Where two say the same of themselves, they are called by their folders; runs that `names` calls
    the same are seeds of one variant, numbered anew if two of them have the same seed.

    Raises:
        FpnProbeError: If there are not as many names as folders, or a folder is given twice.
    """
    if names and len(names) != len(folders):
        raise FpnProbeError(
            f"{len(names)} names for {len(folders)} runs ({', '.join(names)}): give one for each"
        )
    places = [Path(folder) for folder in folders]
    real = [path.resolve() for path in places]
    for at, path in enumerate(real):
        if path in real[:at]:
            raise FpnProbeError(f"{places[at]} is given twice: give each run once")
    cells = [
        read_run(path, variant=name)
        for path, name in zip(places, names or [""] * len(places), strict=True)
    ]
    count = Counter((cell.variant, cell.seed) for cell in cells)
    if max(count.values(), default=0) < 2:
        return cells
    if names:
        clashing = {variant for (variant, _), times in count.items() if times > 1}
        numbers = {variant: itertools.count() for variant in clashing}
        return [
            read_run(cell.folder, variant=cell.variant, seed=next(numbers[cell.variant]))
            if cell.variant in clashing
            else cell
            for cell in cells
        ]
    shared = Path(os.path.commonpath(real))
    return [
        read_run(cell.folder, variant=path.relative_to(shared).as_posix())
        if count[cell.variant, cell.seed] > 1
        else cell
        for cell, path in zip(cells, real, strict=True)
    ]


def describe_runs(cells: Sequence[StoredCell], name: str) -> dict[str, Any]:
    """Write the `study.json` that a study of these cells would have.

    Raises:
        FpnProbeError: If two have different size buckets, which no table can set side by side.
    """
    sized = [cell for cell in cells if cell.manifest.get("buckets")]
    for cell in sized:
        if cell.buckets != sized[0].buckets:
            raise FpnProbeError(
                f"{sized[0].folder} and {cell.folder} have different size buckets: expected "
                "equal; read each by itself, or train both with the same `buckets`"
            )
    buckets = sized[0].manifest["buckets"] if sized else None
    kinds = {kind for cell in cells for kind in cell.manifest.get("detections") or {}}
    return {
        "name": name,
        "kind": "runs",
        "variants": list(dict.fromkeys(cell.variant for cell in cells)),
        "seeds": sorted({cell.seed for cell in cells}),
        "buckets": buckets or [],
        "evaluation": {"iou_type": "segm" if kinds == {"segm"} else "bbox"},
    }


_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("study", "variant", "state", "reason", "annotations", "area", "device"), str),
    **dict.fromkeys(("seed", "iteration", "iterations"), int),
    **dict.fromkeys(("probe", "timings", "versions", "stages", "config", "detections"), dict),
    **dict.fromkeys(("buckets", "images", "classes", "category_ids"), list),
}


def _check_types(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content, or an error for an entry of another type."""
    for key, value in content.items():
        if value is not None and key in _TYPES and not has_type(value, _TYPES[key]):
            raise FpnProbeError(f"{NAME} has a {key!r} of another type than expected")
    stored_buckets(content.get("buckets") or ())
    return dict(content)


def _read_state(content: Mapping[str, Any]) -> tuple[State, str]:
    stored = content.get("state")
    reason = " ".join(str(content.get("reason") or "").split())
    if stored == "running":
        return (State.RUNNING, "") if _is_alive(content) else (State.INTERRUPTED, reason)
    states = {"done": State.DONE, "failed": State.FAILED}
    return states.get(str(stored), State.INTERRUPTED), reason


def _is_alive(content: Mapping[str, Any]) -> bool:
    """Tell whether the process that wrote the file still runs; told on its own machine alone."""
    process = content.get("process")
    if not isinstance(process, Mapping) or process.get("host") != socket.gethostname():
        return False
    pid = process.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
