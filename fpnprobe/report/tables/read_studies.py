"""Reads what a study left on disk, without torch; whatever is missing is named, never fatal."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.evidence.build import RESAMPLES, tables
from fpnprobe.evidence.finished_cells import study_of_runs
from fpnprobe.figures.palette import variant_colors
from fpnprobe.report.tables.cells import Cell, label, name_cells, plain
from fpnprobe.report.tables.gradients import CellGradients, summarize
from fpnprobe.report.tables.snapshots import kept_records, measured, quantities
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, name_metric
from fpnprobe.store import StoredStudy
from fpnprobe.store.runs import LEDGER
from fpnprobe.store.tables import DamagedTable, read_parquet

STRETCHES = 24
EVALUATION = ("study", "variant", "seed", "iteration", "iou_type", "metric", "value", "engine")


@dataclass(frozen=True, slots=True)
class Stored:
    """All tables of one or several studies; `label` columns name a variant within the report.

    `gradients` are those of the trainings' own samples; `ends` those of the same images in every
    cell, with the weights at the end of its training. `training` holds the scalars of the
    trainings, `kept` the measurements of kept weights (`fpnprobe.report.tables.snapshots`);
    `holes` are sentences about what is missing or cannot be read.
    """

    studies: Sequence[Mapping[str, Any]]
    cells: Sequence[Cell]
    evaluation: pd.DataFrame
    gradients: CellGradients
    ends: CellGradients
    evidence: Mapping[str, pd.DataFrame]
    training: pd.DataFrame
    kept: pd.DataFrame
    holes: list[str]
    scale_buckets: tuple[ScaleBucket, ...] = COCO_BUCKETS

    @property
    def variants(self) -> list[str]:
        """Variants in the order of the studies."""
        return list(dict.fromkeys(cell.variant for cell in self.cells))

    @property
    def buckets(self) -> list[str]:
        """Names of the object buckets from small to large: the study's order, else COCO's."""
        return [bucket.name for bucket in self.scale_buckets]

    def name_metric(self, metric: str) -> str:
        """Name a metric with the bounds of its object size, unless they are COCO's."""
        return name_metric(metric, self.scale_buckets)

    def add_bounds(self, text: str) -> str:
        """The text with `name_metric` in place of each AP by size."""
        return re.sub(r"\bAP_[SML]\b(?! \()", lambda name: self.name_metric(name[0]), text)

    @property
    def compares_with_paper(self) -> bool:
        """Whether AP by size may stand beside the paper's: COCO's bounds, or a written reason."""
        return self.scale_buckets == COCO_BUCKETS or bool(self.reason_to_compare)

    @property
    def reason_to_compare(self) -> str:
        """The reason to set sizes with other bounds than COCO's beside the paper's; else empty."""
        reasons = {str(study.get("compare_with_paper") or "") for study in self.studies}
        return " ".join(sorted(reasons)) if "" not in reasons else ""

    @property
    def colors(self) -> dict[str, str]:
        """Color of every variant."""
        return variant_colors(self.variants)

    @property
    def iou_type(self) -> str:
        """The kind that the studies judge: "bbox" where any cell has it, else "segm"."""
        kinds = set(self.evaluation["iou_type"]) or {"bbox"}
        return "bbox" if "bbox" in kinds else str(min(kinds))

    @property
    def is_of_runs(self) -> bool:
        """Whether no study is among them: trainings with a probe alone."""
        return all(study.get("kind") == "runs" for study in self.studies)

    @property
    def measures_ends(self) -> bool:
        """Whether every variant with a ledger was also measured on the same images at the end."""
        if self.ends.shares.empty or self.gradients.shares.empty:
            return not self.ends.shares.empty
        return set(self.gradients.shares["variant"]) <= set(self.ends.shares["variant"])

    @property
    def stage_gradients(self) -> CellGradients:
        """The measurement behind every statement on a stage's shares.

        The same images at the end of training, if all variants have them, else the trainings' own
        samples.
        """
        return self.ends if self.measures_ends else self.gradients

    @property
    def done(self) -> list[Cell]:
        """Cells that finished."""
        return [cell for cell in self.cells if cell.state == "done"]


def read(folders: Sequence[Path], *, names: Sequence[str] = ()) -> Stored:
    """Read study folders, and folders of trainings with a probe.

    All trainings are one study together; `names` says what they are called.

    Raises:
        FpnProbeError: If a folder is neither a study (`study.json` or a cell) nor has a ledger.
    """
    holes: list[str] = []
    studies: list[dict[str, Any]] = []
    cells: list[Cell] = []
    evaluations: list[pd.DataFrame] = []
    gradients: list[CellGradients] = []
    ends: list[CellGradients] = []
    evidence: dict[str, list[pd.DataFrame]] = {}
    training: list[pd.DataFrame] = []
    snapshots: list[pd.DataFrame] = []
    on_disk = read_studies(folders, names=names)
    for name, study in zip(_names(on_disk), on_disk, strict=True):
        folder = study.folder
        prefix = f"{name}: " if len(on_disk) > 1 else ""
        studies.append({**study.content, "name": name})
        study_cells = name_cells(study, name=name, prefix=prefix, holes=holes)
        cells += study_cells
        for cell in study_cells:
            if not cell.shown:
                continue
            evaluations += _evaluation(cell, holes)
            gradients += _gradients(cell, holes)
            training += _training(cell, holes)
            snapshots += kept_records(cell, holes)
            ends += _end(cell)
        derived_tables = _evidence_of_runs(study, holes) if study.is_of_runs else {}
        stored_tables = (
            {} if study.is_of_runs else {p.stem: p for p in folder.glob("evidence/*.parquet")}
        )
        for stem in sorted({**derived_tables, **stored_tables}):
            table = (
                derived_tables[stem]
                if stem in derived_tables
                else _parquet(stored_tables[stem], holes)
            )
            if table is not None:
                table = _of_variants(table, study.variants, f"evidence/{stem}", holes)
                for column in {"variant", "baseline"} & set(table.columns):
                    table[column] = [prefix + label(v) for v in table[column]]
                table["study"] = name
                evidence.setdefault(stem, []).append(table)
    stored = Stored(
        studies=studies,
        cells=cells,
        evaluation=pd.concat(evaluations, ignore_index=True)
        if evaluations
        else pd.DataFrame(columns=list(EVALUATION)),
        gradients=CellGradients.joined(gradients),
        ends=CellGradients.joined(ends),
        evidence={name: pd.concat(tables, ignore_index=True) for name, tables in evidence.items()},
        training=_averaged(training),
        kept=quantities(snapshots),
        holes=holes,
        scale_buckets=on_disk[0].buckets if on_disk else COCO_BUCKETS,
    )
    return replace(
        stored,
        gradients=stored.gradients.ordered(stored.buckets),
        ends=stored.ends.ordered(stored.buckets),
    )


def read_studies(folders: Sequence[Path], *, names: Sequence[str] = ()) -> list[StoredStudy]:
    """The studies among some folders, and one more of all trainings that are no study's cells.

    Raises:
        FpnProbeError: See `read`.
    """
    studies: list[StoredStudy] = []
    runs: list[Path] = []
    for folder in folders:
        stored = StoredStudy.read(folder)
        if stored.is_of_runs:
            runs += [cell.folder for cell in stored.cells]
        else:
            studies.append(stored)
    if names and not runs:
        raise FpnProbeError("names are for trainings with a probe: a study names its variants")
    if runs:
        studies.append(StoredStudy.of_runs(runs, names=names))
    return studies


def _evidence_of_runs(study: StoredStudy, holes: list[str]) -> dict[str, pd.DataFrame]:
    """Differences and size curves with intervals, of runs that kept detections of the same data."""
    runs = study_of_runs(study)
    if not runs.cells:
        return {}
    try:
        return tables(runs, resamples=RESAMPLES, seed=0)
    except FpnProbeError as error:
        holes.append(f"no intervals of AP: {plain(error)}")
        return {}


def _names(studies: Sequence[StoredStudy]) -> list[str]:
    """Name each study as the report does: by its name, or its folder where two have one name.

    Raises:
        FpnProbeError: If a folder is given twice.
    """
    names = [plain(study.name) for study in studies]
    places = [study.folder.resolve() for study in studies]
    for at, path in enumerate(places):
        if path in places[:at]:
            raise FpnProbeError(f"{studies[at].folder} is given twice: give each study folder once")
    ends = [path.name for path in places]
    return [
        name if names.count(name) == 1 else plain(path.name if ends.count(path.name) == 1 else path)
        for name, path in zip(names, places, strict=True)
    ]


def _of_variants(
    table: pd.DataFrame, variants: Sequence[str], table_name: str, holes: list[str]
) -> pd.DataFrame:
    """The rows of variants that the study has; others are left of another state of it."""
    for column in ("variant", "baseline"):
        if column in table.columns:
            is_of_study = table[column].isin(variants)
            for name in table[column][~is_of_study].unique():
                hole = f"{plain(name)} is in {table_name} and not in the study any more: left out"
                holes.append(hole)
            table = table[is_of_study]
    return table.reset_index(drop=True)


def _parquet(
    path: Path, holes: list[str], columns: Mapping[str, str] | None = None
) -> pd.DataFrame | None:
    try:
        table: pd.DataFrame = read_parquet(path, columns)
    except DamagedTable as error:
        short_path, problem = f"{path.parent.name}/{path.name}", str(error).partition(f"{path}")[2]
        readable = "has no" in problem
        holes.append(
            f"{short_path}{problem}" if readable else f"{short_path} is no readable parquet file"
        )
        return None
    return table


def _evaluation(cell: Cell, holes: list[str]) -> list[pd.DataFrame]:
    assert cell.folder is not None
    path = cell.folder / "evaluation.parquet"
    if not path.exists():
        if not cell.is_run:  # a training need not evaluate
            holes.append(f"{cell.variant}, seed {cell.seed} has no evaluation: AP not measured")
        return []
    table = _parquet(path, holes, {"metric": "text", "value": "number"})
    if table is None:
        return []
    table["study"], table["variant"], table["seed"] = cell.study, cell.variant, cell.seed
    return [table]


def _training(cell: Cell, holes: list[str]) -> list[pd.DataFrame]:
    """Losses and other scalars of a cell, if it kept them: iteration, name, value."""
    assert cell.folder is not None
    path = cell.folder / "training.parquet"
    kinds = {"iteration": "number", "name": "text", "value": "number"}
    table = _parquet(path, holes, kinds) if path.exists() else None
    if table is None or table.empty:
        return []
    stretch = max(1, -(-int(table["iteration"].max() + 1) // STRETCHES))
    middle = (stretch - 1) / 2
    table = table.assign(iteration=table["iteration"] // stretch * stretch + middle)
    table = table.groupby(["name", "iteration"], sort=False)["value"].mean().reset_index()
    return [table.assign(variant=cell.variant)]


def _averaged(tables: list[pd.DataFrame]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame(columns=["variant", "name", "iteration", "value", "seeds"])
    keys = ["variant", "name", "iteration"]
    table = pd.concat(tables).groupby(keys, sort=False)["value"]
    return table.agg(value="mean", seeds="count").reset_index()


def _end(cell: Cell) -> list[CellGradients]:
    """The measurement with a cell's last weights; `kept_records` names what cannot be read."""
    for _, folder in measured(cell)[-1:]:
        try:
            return [summarize(folder, study=cell.study, variant=cell.variant, seed=cell.seed)]
        except (FpnProbeError, OSError, ValueError, LookupError, TypeError, AttributeError):
            return []
    return []


def _gradients(cell: Cell, holes: list[str]) -> list[CellGradients]:
    assert cell.folder is not None
    if not any((cell.folder / name).exists() for name in LEDGER):
        holes.append(f"{cell.variant}, seed {cell.seed} has no ledger: gradients not measured")
        return []
    try:
        return [summarize(cell.folder, study=cell.study, variant=cell.variant, seed=cell.seed)]
    except FpnProbeError as error:
        if f"cannot read {cell.folder}" not in str(error):
            holes.append(f"{cell.variant}, seed {cell.seed}: {plain(error)}")
            return []
        holes.append(f"{cell.variant}, seed {cell.seed}: the ledger is no readable parquet file")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        holes.append(f"{cell.variant}, seed {cell.seed}: the ledger is no readable parquet file")
    return []
