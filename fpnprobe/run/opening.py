"""The two functions that begin with a folder: `fpnprobe.open` and `fpnprobe.compare`."""

from pathlib import Path
from typing import Any

from fpnprobe.run.opened_run import Run
from fpnprobe.store.cell import MANIFEST
from fpnprobe.store.cell_state import State
from fpnprobe.store.runs import is_run
from fpnprobe.store.selection import read_study_folder
from fpnprobe.store.study import read_cell


def compare_runs(a: str | Path, b: str | Path, **options: Any) -> Any:
    """Compare two cells, two runs, or two detection files on the same images.

    Options are those of `fpnprobe.evaluation.compare_runs`; for variants of one study with all
    their seeds, `fpnprobe.open(STUDY).compare("DC5", "FPN")`.
    """
    from fpnprobe.evaluation import compare_runs

    return compare_runs(a, b, **options)


def open_run(path: str | Path) -> Run:
    """Open the folder of a study, of one of its cells, or of a training with the probe.

    Finished or not; a tree with several trainings is one run of several cells.

    Nothing is read before it is asked for, and what is not there yet is empty.

    Raises:
        FpnProbeError: If the folder is neither.
    """
    folder = Path(path)
    if (folder / MANIFEST).is_file() or is_run(folder):
        return Run(folder, (read_cell(folder),))
    stored = read_study_folder(
        folder,
        "the folder of a study (study.json, cells/), of a cell (manifest.json), such as "
        "reports/quickstart, or the work_dir of a training with the probe (ledger.parquet)",
    )
    return Run(folder, tuple(cell for cell in stored.cells if cell.state is not State.PENDING))
