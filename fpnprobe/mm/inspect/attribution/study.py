"""`fpnprobe attribute`: all trained cells of a study on the same images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.attribution import stored
from fpnprobe.attribution.methods import INTERNAL_BATCH, STEPS
from fpnprobe.attribution.table import by_bucket, concat, on_assigned_level
from fpnprobe.attribution.words import Kind, Place
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.inspect.attribution.explain import targets_of
from fpnprobe.mm.inspect.attribution.survey import survey
from fpnprobe.mm.inspect.attribution.trust import by_method
from fpnprobe.mm.inspect.attribution.trust import trust as judge_methods
from fpnprobe.mm.inspect.trained_cell import TrainedCell
from fpnprobe.store.selection import find_cells


@dataclass(frozen=True, slots=True)
class StudyAttribution:
    """The result of `attribute_run`.

    Attributes:
        rows: All cells' rows.
        shares: Share per variant, bucket and level with intervals (`table.by_bucket`).
        agreement: How often the largest share lies on the assigned level.
        trust: How far each method's maps can be trusted (`trust.by_method`), per variant; empty
            unless asked for.
        files: The cells' tables as written.
        skipped: (cell folder, why) of the cells that could not be attributed.
    """

    rows: pd.DataFrame
    shares: pd.DataFrame
    agreement: pd.DataFrame
    trust: pd.DataFrame
    files: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def attribute_run(
    run: str | Path,
    *,
    images: int,
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (),
    methods: Sequence[str] = ("integrated_gradients",),
    places: Sequence[Place] | None = None,
    kind: Kind = "object",
    steps: int = STEPS,
    internal_batch_size: int = INTERNAL_BATCH,
    judged_images: int = 0,
    device: str = "cpu",
    trust: bool = False,
    report: Callable[[str, int], None] = lambda *_: None,
) -> StudyAttribution:
    """Attribute the trained cells of a run; write each cell's table and the study's of them all.

    A cell that is not finished is skipped and named; a run without any trained cell is an error.
    `judged_images` is the number of images on which the methods themselves are judged; `trust` says
    whether modules and config files that a manifest names are executed; the other arguments are
    those of `survey`.
    """
    folders = [cell.folder for cell in find_cells(run, variants=variants, seeds=seeds)]
    frames, files, skipped, judged = [], [], [], []
    for folder in folders:
        try:
            cell = TrainedCell.open(folder, device=device, trust=trust)
        except FpnProbeError as error:
            skipped.append((str(folder), str(error)))
            continue
        title = "{variant} seed {seed}".format(**cell.labels)
        frame = survey(
            cell,
            images=images,
            methods=methods,
            places=places,
            kind=kind,
            steps=steps,
            internal_batch_size=internal_batch_size,
            report=lambda done, title=title: report(title, done),  # type: ignore[misc]
        )
        stored.write(folder / stored.CELL_TABLE, frame)
        judged += [
            _judge_trust(cell, position, methods, steps) for position in range(judged_images)
        ]
        frames.append(frame)
        files.append(str(folder / stored.CELL_TABLE))
        if folders != [Path(run)]:  # after each cell, so that stopping loses none of them
            stored.write(Path(run) / stored.STUDY_TABLE, by_bucket(concat(frames)))
    if not frames:
        raise FpnProbeError(f"nothing to attribute in {run}: {skipped[0][1]}")
    rows = concat(frames)
    shares = by_bucket(rows)
    trusts = by_method(pd.concat(judged)) if judged else pd.DataFrame()
    if folders != [Path(run)] and judged:
        stored.write(Path(run) / stored.TRUST_TABLE, trusts)
    return StudyAttribution(
        rows, shares, on_assigned_level(rows), trusts, tuple(files), tuple(skipped)
    )


def _judge_trust(
    cell: TrainedCell, position: int, methods: Sequence[str], steps: int
) -> pd.DataFrame:
    """Trust in each method on the objects of one image, at the stages."""
    image = cell.at(position)
    targets = targets_of(cell.chain, image, buckets=cell.buckets)
    if not targets:
        return pd.DataFrame()
    trust_table = judge_methods(cell.chain, image, targets=targets, methods=methods, steps=steps)
    return trust_table.assign(**cell.labels)


def as_json(found: StudyAttribution) -> dict[str, Any]:
    """For `--json`: missing numbers are null."""
    return {
        "files": list(found.files),
        "shares": _list_records(found.shares),
        "agreement": _list_records(found.agreement),
        "residual": _largest_residuals(found.rows),
        "trust": _list_records(found.trust),
        "skipped": [{"cell": cell, "reason": reason} for cell, reason in found.skipped],
    }


def _list_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    plain = frame.astype(object).where(frame.notna(), None)
    return plain.to_dict("records")  # type: ignore[return-value]


def _largest_residuals(rows: pd.DataFrame) -> dict[str, float]:
    """Largest completeness residual of each method that promises completeness."""
    measured = rows.dropna(subset="residual")
    return {str(m): float(v) for m, v in measured.groupby("method")["residual"].max().items()}
