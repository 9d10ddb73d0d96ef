"""The interventions of a report: which variant, against which twin, on which paths."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd

from fpnprobe.evidence.controls import intervened
from fpnprobe.figures import changed_paths
from fpnprobe.figures.svg import Panel
from fpnprobe.interventions import Intervention
from fpnprobe.report.page.content import Figure
from fpnprobe.report.tables.gradient_shares import bucket_keys
from fpnprobe.report.tables.stored import Stored
from fpnprobe.scales import BACKGROUND

STAGES = ("C2", "C3", "C4", "C5")


@dataclass(frozen=True, slots=True)
class Changed:
    """An intervention under the names that the report uses."""

    variant: str
    twin: str
    change: Intervention


def changed(stored: Stored) -> list[Changed]:
    """The interventions of all studies, in their order."""
    entries = []
    for study in stored.studies:
        names = {c.name: c.variant for c in stored.cells if c.study == study["name"]}
        entries += [
            Changed(
                names[cell_intervention.variant],
                names.get(cell_intervention.twin, ""),
                cell_intervention.change,
            )
            for cell_intervention in intervened(study)
            if cell_intervention.variant in names
        ]
    return entries


def paths(entries: Sequence[Changed], buckets: Sequence[str]) -> pd.DataFrame:
    """Factor of each stage, route and bucket by variant; NaN where a rule sets it in training."""
    rows = []
    for entry in entries:
        gains, balance = entry.change.gains, entry.change.balance
        has_auxiliary = "auxiliary" in {*(g.route for g in gains), balance.route if balance else ""}
        has_pyramid = not entry.variant.split(": ")[-1].startswith("DC5")
        for stage in STAGES:
            for route in ("direct", *(["auxiliary"] if has_auxiliary else []), "deeper"):
                if (stage, route) == (STAGES[-1], "deeper"):
                    continue
                if route == "direct" and stage != STAGES[-1] and not has_pyramid:
                    continue
                for bucket in (*buckets, BACKGROUND):
                    factor = 1.0
                    for gain in gains:
                        applies = stage in gain.stages and gain.route == route
                        if applies and gain.bucket in ("all", bucket):
                            factor *= gain.gain
                    if balance and stage in balance.stages and route == balance.route:
                        factor = factor if bucket == BACKGROUND else float("nan")
                    rows.append((entry.variant, stage, route, bucket, factor))
    return pd.DataFrame(rows, columns=list(changed_paths.COLUMNS))


def figure(stored: Stored, entries: Sequence[Changed]) -> Figure:
    """The ways of the gradient of each intervention, and what is changed on them."""
    table = paths(entries, stored.buckets)
    sentence = "; ".join(
        f"{entry.variant}: "
        f"{', '.join([*map(repr, entry.change.gains), *_list_rule(entry)]) or 'nothing'}"
        for entry in entries
    )
    return Figure(
        "changed-paths",
        "Which path was changed",
        f"{sentence}. Lines are the ways of the gradient, one for each object size: dashed and "
        "crossed out is silenced, an equals sign carries all sizes alike.",
        [
            Panel(
                entry.variant, partial(changed_paths.draw, table[table["variant"] == entry.variant])
            )
            for entry in entries
        ],
        table,
        keys=bucket_keys([*stored.buckets, BACKGROUND]),
        columns=3,
        narrow=1,
        height=190,
        left=4,
        bottom=6,
        share="",
    )


def _list_rule(entry: Changed) -> list[str]:
    return [] if entry.change.balance is None else [repr(entry.change.balance)]
