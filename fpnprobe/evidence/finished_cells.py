"""The finished cells of a study's output folder, as the evidence needs them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.evidence.controls import Intervened, intervened
from fpnprobe.scales import ScaleBucket
from fpnprobe.store import StoredStudy
from fpnprobe.store.tables import DamagedTable, read_parquet

_DIFFERENCES = {
    **dict.fromkeys(("variant", "baseline", "seed", "metric", "source"), "text"),
    **dict.fromkeys(("difference", "low", "high", "n_seeds"), "number"),
}
_READ = ("detections.json.gz", "evaluation.parquet", "ledger.parquet", "conflict.parquet")


@dataclass(frozen=True, slots=True)
class FinishedCell:
    """One variant and seed that was trained and evaluated.

    `area` is "box" where the annotations have no areas of their own.
    """

    variant: str
    seed: int
    folder: Path
    annotations: str
    area: str | None = None

    @property
    def detections(self) -> Path:
        """The stored COCO results of the cell."""
        return self.folder / "detections.json.gz"


@dataclass(frozen=True, slots=True)
class FinishedStudy:
    """A study with its finished cells, read from `study.json` and the manifests.

    `evidence` are the stored tables that were derived of the cells as they are, by name.
    """

    name: str
    folder: Path
    content: Mapping[str, Any]
    variants: tuple[str, ...]
    buckets: tuple[ScaleBucket, ...]
    iou_types: tuple[str, ...]
    cells: tuple[FinishedCell, ...]
    evidence: Mapping[str, Path]

    @property
    def iou_type(self) -> str:
        """Boxes or masks: the kind that figures and tables of evidence are about."""
        return self.iou_types[0]

    @property
    def compares_with_paper(self) -> bool:
        """Tell whether the study's sizes may be set beside the paper's, though not COCO's."""
        return bool(self.content.get("compare_with_paper"))

    def seeds(self, variant: str) -> dict[int, FinishedCell]:
        """The variant's finished cells by seed."""
        return {cell.seed: cell for cell in self.cells if cell.variant == variant}

    def pairs(self) -> list[tuple[str, str]]:
        """Pair (variant, baseline): the baseline comes earlier, or is an intervention's control."""
        controls = {entry.variant: entry.twin for entry in self.intervened()}
        variant_pairs = []
        for first, second in combinations(self.variants, 2):
            swap = second in (controls.get(first), first.split("~")[0])
            variant_pairs.append((first, second) if swap else (second, first))
        return variant_pairs

    def intervened(self) -> list[Intervened]:
        """The variants whose backward pass is changed, with their controls."""
        return intervened(self.content)


def read_study(study_dir: str | Path) -> FinishedStudy:
    """Read `study.json` and the cells that are done, of its settings, data and results version.

    Cells of which a file was changed since they were finished are left out; `run-study` and the
    report name them.

    Raises:
        FpnProbeError: If the folder is not a study's output, or its `study.json` is damaged.
    """
    stored = StoredStudy.read(study_dir, strict=True)
    cells = [
        FinishedCell(
            variant=cell.variant,
            seed=cell.seed,
            folder=cell.folder,
            annotations=str(cell.annotations),
        )
        for cell in stored.done
        if "changed" not in cell.find_damage(*_READ).values()
    ]
    return _study_of(stored, cells)


def study_of_runs(stored: StoredStudy) -> FinishedStudy:
    """The runs of a `StoredStudy.of_runs` that kept their detections, as far as they are paired."""
    cells = [
        FinishedCell(
            cell.variant,
            cell.seed,
            cell.folder,
            str(cell.manifest["annotations"]),
            cell.manifest.get("area"),
        )
        for cell in stored.cells
        if cell.detections.is_file() and cell.manifest.get("annotations")
    ]
    return _study_of(stored, cells)


def _study_of(stored: StoredStudy, cells: list[FinishedCell]) -> FinishedStudy:
    """The study of these cells, in the order of its variants."""
    order = list(stored.variants)
    return FinishedStudy(
        name=stored.name,
        folder=stored.folder,
        content=stored.content,
        variants=stored.variants,
        buckets=stored.buckets,
        iou_types=stored.iou_types,
        cells=tuple(sorted(cells, key=lambda cell: (order.index(cell.variant), cell.seed))),
        evidence=stored.evidence_files,
    )


def read_comparison(study: FinishedStudy, iou_type: str) -> pd.DataFrame:
    """The stored differences of boxes or of masks; empty where none are.

    Raises:
        DamagedTable: If the table cannot be read, or is not one of differences.
    """
    file = study.evidence.get(comparison_name(study, iou_type))
    if file is None:
        return pd.DataFrame()
    try:
        table: pd.DataFrame = read_parquet(file, _DIFFERENCES)
    except DamagedTable as error:
        raise DamagedTable(f"{error}; run the study again") from None
    return table


def comparison_name(study: FinishedStudy, iou_type: str) -> str:
    """Return the name of the evidence that holds the differences of boxes or of masks.

    What a study judges first is in `comparison`, a second kind in a file named after it.
    """
    return "comparison" if iou_type == study.iou_type else f"comparison_{iou_type}"
