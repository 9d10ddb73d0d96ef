"""The cells that a command line asks for and those that it left out; light: nothing is loaded."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from fpnprobe.errors import FpnProbeError
from fpnprobe.store.cell import MANIFEST, StoredCell
from fpnprobe.store.cell_state import State
from fpnprobe.store.runs import is_run
from fpnprobe.store.study import StoredStudy, read_cell


def describe_unasked(cells: Iterable[tuple[str, int]]) -> str:
    """Say in a sentence which cells nobody asked for, "" where there are none.

    Args:
        cells: Variant and seed of each.

    >>> describe_unasked([("FPN", 1), ("PAFPN", 0), ("PAFPN", 1)])
    '3 cells of the study were not asked for: FPN seed 1; PAFPN seeds 0, 1'
    """
    seeds: dict[str, list[int]] = {}
    for variant, seed in cells:
        seeds.setdefault(variant, []).append(seed)
    count = sum(map(len, seeds.values()))
    if not count:
        return ""
    names = "; ".join(
        f"{variant} seed{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
        for variant, numbers in seeds.items()
    )
    many = "1 cell of the study was" if count == 1 else f"{count} cells of the study were"
    return f"{many} not asked for: {names}"


def read_study_folder(folder: Path, expected: str) -> StoredStudy:
    """Read the study in a folder.

    Args:
        folder: The folder.
        expected: What the message says that was expected of a folder that is no study.

    Raises:
        FpnProbeError: If it is not there, holds several studies, or none.
    """
    try:
        return StoredStudy.read(folder)
    except FpnProbeError as error:
        if not folder.is_dir() or "holds several studies" in str(error):
            raise
        raise FpnProbeError(f"{folder} is not a run: expected {expected}") from None


def find_cells(
    run: str | Path, *, variants: Sequence[str] = (), seeds: Sequence[int] = ()
) -> list[StoredCell]:
    """Return the cells of a study folder that were begun, or the one cell whose folder it is.

    Args:
        run: The folder.
        variants: Only these, all by default.
        seeds: Only these, all by default.

    Raises:
        FpnProbeError: If it is neither, or a variant or a seed is asked for that it has not.
    """
    folder = Path(run)
    if (folder / MANIFEST).is_file() or is_run(folder):
        cells = [read_cell(folder)]
    else:
        stored = read_study_folder(
            folder, "the folder of a study or of one of its cells, such as reports/quickstart"
        )
        cells = [cell for cell in stored.cells if cell.state is not State.PENDING]
    if not cells:
        raise FpnProbeError(f"{folder} has no cell yet: let run-study finish one")
    for kind, requested, present in (
        ("variant", variants, [cell.variant for cell in cells]),
        ("seed", seeds, [cell.seed for cell in cells]),
    ):
        for name in requested:
            if name not in present:
                names = ", ".join(dict.fromkeys(map(str, present)))
                raise FpnProbeError(f"{folder} has no {kind} {name}: expected {names}")
    selected = [
        cell
        for cell in cells
        if (not variants or cell.variant in variants) and (not seeds or cell.seed in seeds)
    ]
    if not selected:
        raise FpnProbeError(f"{folder} has none of these variants with one of these seeds")
    return selected
