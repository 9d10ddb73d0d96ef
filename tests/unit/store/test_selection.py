"""The cells that a command line asks for: of a study, or a cell's own folder."""

import shutil
from pathlib import Path

import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.store.selection import describe_unasked, find_cells
from tests.unit.store.test_study import write

CELLS = [("DC5", 0), ("DC5", 1), ("FPN", 0)]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write(tmp_path / "run", dict.fromkeys(CELLS, "ab12"))


@pytest.mark.parametrize(
    ("variants", "seeds", "found"),
    [
        ((), (), CELLS),
        (["DC5"], (), CELLS[:2]),
        ((), [0], [CELLS[0], CELLS[2]]),
        (["DC5", "FPN"], [1], [CELLS[1]]),
    ],
)
def test_variants_and_seeds_are_chosen_together(
    variants: list[str], seeds: list[int], found: list[tuple[str, int]], study: Path
) -> None:
    cells = find_cells(study, variants=variants, seeds=seeds)
    assert [(cell.variant, cell.seed) for cell in cells] == found


@pytest.mark.parametrize(
    ("variants", "seeds", "told"),
    [
        (["CFG"], (), "run has no variant CFG: expected DC5, FPN$"),
        ((), [2], "run has no seed 2: expected 0, 1$"),
        (["FPN"], [1], "run has none of these variants with one of these seeds"),
    ],
)
def test_what_a_study_has_not_is_told(
    variants: list[str], seeds: list[int], told: str, study: Path
) -> None:
    with pytest.raises(FpnProbeError, match=told):
        find_cells(study, variants=variants, seeds=seeds)


def test_a_cell_is_found_by_its_own_folder(study: Path) -> None:
    (cell,) = find_cells(study / "cells" / "dc5" / "seed-1")
    assert (cell.variant, cell.seed) == ("DC5", 1)
    assert find_cells(cell.folder, variants=["DC5"], seeds=[1]) == [cell]
    with pytest.raises(FpnProbeError, match=r"seed-1 has no variant NOPE: expected DC5$"):
        find_cells(cell.folder, variants=["NOPE"])
    with pytest.raises(FpnProbeError, match=r"seed-1 has no seed 99: expected 1$"):
        find_cells(cell.folder, seeds=[99])


def test_cells_that_were_not_begun_are_none(study: Path) -> None:
    shutil.rmtree(study / "cells" / "fpn")
    assert [cell.variant for cell in find_cells(study)] == ["DC5", "DC5"]
    shutil.rmtree(study / "cells")
    with pytest.raises(FpnProbeError, match="has no cell yet: let run-study finish one"):
        find_cells(study)


def test_folders_that_are_no_run_say_what_they_are(study: Path) -> None:
    with pytest.raises(FpnProbeError, match="is not a run: expected the folder of a study or"):
        find_cells(study / "cells")
    with pytest.raises(FpnProbeError, match="there is no folder"):
        find_cells(study / "gone")
    with pytest.raises(FpnProbeError, match="holds several studies"):
        find_cells(study.parent)


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ([], ""),
        ([("FPN", 1)], "1 cell of the study was not asked for: FPN seed 1"),
        (CELLS, "3 cells of the study were not asked for: DC5 seeds 0, 1; FPN seed 0"),
    ],
)
def test_cells_that_nobody_asked_for_are_told(cells: list[tuple[str, int]], told: str) -> None:
    assert describe_unasked(cells) == told
