"""Reads what a study left on disk, without torch; whatever is missing is named, never fatal."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.errors import FpnProbeError
from fpnprobe.evidence.build import RESAMPLES, tables
from fpnprobe.evidence.finished_cells import study_of_runs
from fpnprobe.report.tables.cell_tables import (
    average_over_seeds,
    read_evaluation,
    read_gradients,
    read_last_weights,
    read_table,
    read_training,
)
from fpnprobe.report.tables.cells import Cell, label, name_cells, plain
from fpnprobe.report.tables.gradients import CellGradients
from fpnprobe.report.tables.snapshots import kept_records, quantities
from fpnprobe.report.tables.stored import Stored
from fpnprobe.scales import COCO_BUCKETS
from fpnprobe.store import StoredStudy

EVALUATION = ("study", "variant", "seed", "iteration", "iou_type", "metric", "value", "engine")


def read(folders: Sequence[Path], *, names: Sequence[str] = ()) -> Stored:
    """Read study folders, and folders of trainings with a probe.

    All trainings are one study together; `names` says what they are called. Of studies whose sizes
    have other bounds than the first one's a hole says so; those with other sizes are left out.

    Raises:
        FpnProbeError: If a folder is neither a study (`study.json` or a cell) nor has a ledger, or
            trainings have different size buckets.
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
    named = _drop_other_sizes(list(zip(_name_studies(on_disk), on_disk, strict=True)), holes)
    for name, study in named:
        prefix = f"{name}: " if len(named) > 1 else ""
        studies.append({**study.content, "name": name})
        study_cells = name_cells(study, name=name, prefix=prefix, holes=holes)
        cells += study_cells
        for cell in study_cells:
            if not cell.shown:
                continue
            evaluations += read_evaluation(cell, holes)
            gradients += read_gradients(cell, holes)
            training += read_training(cell, holes)
            snapshots += kept_records(cell, holes)
            ends += read_last_weights(cell)
        derived_tables = _evidence_of_runs(study, holes) if study.is_of_runs else {}
        stored_tables = study.evidence_files
        if outdated := study.outdated_evidence:
            holes.append(
                f"{prefix}{', '.join(map(plain, outdated))} was trained anew since the variants "
                "were compared: differences, claims and curves by size are left out until "
                "`run-study` has come to its end"
            )
        for stem in sorted({**derived_tables, **stored_tables}):
            table = (
                derived_tables[stem]
                if stem in derived_tables
                else read_table(stored_tables[stem], holes)
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
        training=average_over_seeds(training),
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


def _drop_other_sizes(
    named: Sequence[tuple[str, StoredStudy]], holes: list[str]
) -> list[tuple[str, StoredStudy]]:
    """The studies that have the sizes of the first one; differences are told in `holes`."""
    comparable = list(named[:1])
    for name, study in named[1:]:
        first_name, first = named[0]
        sizes, expected = (
            [bucket.name for bucket in buckets] for buckets in (study.buckets, first.buckets)
        )
        if sizes != expected:
            holes.append(
                f"{name} is left out: it has the sizes {plain(', '.join(sizes))}, {first_name} has "
                f"{plain(', '.join(expected))}; make a report of each"
            )
            continue
        comparable.append((name, study))
        if study.buckets != first.buckets:
            bounds = "; ".join(plain(f"{b.name}: {b.describe_bounds()}") for b in study.buckets)
            holes.append(
                f"{name} has other bounds of size than {first_name}, whose bounds stand beside the "
                f"metrics ({bounds}): what is said by size is about other objects"
            )
    return comparable


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


def _name_studies(studies: Sequence[StoredStudy]) -> list[str]:
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
