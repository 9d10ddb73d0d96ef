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
from fpnprobe.report.tables.read_studies import Stored
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
    found = []
    for study in stored.studies:
        names = {c.name: c.variant for c in stored.cells if c.study == study["name"]}
        found += [
            Changed(names[each.variant], names.get(each.twin, ""), each.change)
            for each in intervened(study)
            if each.variant in names
        ]
    return found


def paths(found: Sequence[Changed], buckets: Sequence[str]) -> pd.DataFrame:
    """Factor of each stage, route and bucket by variant; NaN where a rule sets it in training."""
    rows = []
    for each in found:
        gains, balance = each.change.gains, each.change.balance
        helped = "auxiliary" in {*(g.route for g in gains), balance.route if balance else ""}
        for stage in STAGES:
            for route in ("direct", *(["auxiliary"] if helped else []), "deeper"):
                if (stage, route) == (STAGES[-1], "deeper"):
                    continue
                for bucket in (*buckets, BACKGROUND):
                    factor = 1.0
                    for gain in gains:
                        here = stage in gain.stages and gain.route == route
                        if here and gain.bucket in ("all", bucket):
                            factor *= gain.gain
                    if balance and stage in balance.stages and route == balance.route:
                        factor = factor if bucket == BACKGROUND else float("nan")
                    rows.append((each.variant, stage, route, bucket, factor))
    return pd.DataFrame(rows, columns=list(changed_paths.COLUMNS))


def figure(stored: Stored, found: Sequence[Changed]) -> Figure:
    """The ways of the gradient of each intervention, and what is changed on them."""
    table = paths(found, stored.buckets)
    said = "; ".join(
        f"{each.variant}: {', '.join([*map(repr, each.change.gains), *_rule(each)]) or 'nothing'}"
        for each in found
    )
    return Figure(
        "changed-paths",
        "Which path was changed",
        f"{said}. Lines are the ways of the gradient, one for each object size: dashed and "
        "crossed out is silenced, an equals sign carries all sizes alike.",
        [
            Panel(
                each.variant, partial(changed_paths.draw, table[table["variant"] == each.variant])
            )
            for each in found
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


def _rule(each: Changed) -> list[str]:
    return [] if each.change.balance is None else [repr(each.change.balance)]
