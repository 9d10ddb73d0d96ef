"""The stored table of `fpnprobe check --all`: one row a config, added as it comes."""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from fpnprobe.config.mmdet_configs import config_file
from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.mm.inspect.check.result import RESIDUALS, CheckResult

_GROUPS = (
    ("holds", "Every sum of gradients holds, labels witnessed"),
    ("unwitnessed", "Every sum of gradients holds, labels NOT checked"),
    ("refused", "Refused, in one line"),
    ("environment", "Not to be built here: a package, or weights, are missing"),
)


@dataclass(frozen=True, slots=True)
class ZooRow:
    """The result of `check` on one config of mmdet's zoo.

    Attributes:
        family: Folder of the config in the zoo.
        config: Its name.
        outcome: `holds`, `unwitnessed`, `refused` or `environment`.
        worst: Largest relative residual that was measured; empty where none was.
        unlabeled: Share of the loss that flows beside all labeled rows.
        rows: Rows of the losses that have an object.
        witnessed: Those that were held against their targets.
        sentence: Why it does not hold.
    """

    family: str
    config: str
    outcome: str
    worst: str = ""
    unlabeled: str = ""
    rows: str = ""
    witnessed: str = ""
    sentence: str = ""

    @classmethod
    def of(cls, result: CheckResult, problem: str | None) -> "ZooRow":
        """The row of a result and of what is wrong with it."""
        family = config_file(result.config).parent.name
        sentence = (problem or "").removeprefix(f"{result.config}: ")
        if result.error:
            is_missing = result.exit_code == EnvironmentProblem.exit_code
            outcome = "environment" if is_missing else "refused"
            return cls(family, result.config, outcome, sentence=sentence)
        values = (float(getattr(result.residuals, name)) for name in RESIDUALS)
        worst = max((value for value in values if not math.isnan(value)), default=math.nan)
        outcome = "refused" if not result.ok else "holds" if result.is_witnessed else "unwitnessed"
        return cls(
            family,
            result.config,
            outcome,
            f"{worst:.1e}",
            f"{result.unlabeled:.2g}",
            str(sum(result.rows.values())),
            str(sum(result.witnessed.values())),
            sentence,
        )


def read_rows(path: Path) -> list[ZooRow]:
    """The rows that are stored so far; none where there is no file.

    Raises:
        FpnProbeError: If the file is another table.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        names = [field.name for field in fields(ZooRow)]
        if table.fieldnames != names:
            raise FpnProbeError(f"{path} is no table of check --all: expected columns {names}")
        return [ZooRow(**row) for row in table]


def append_row(path: Path, row: ZooRow) -> None:
    """Add a row at the end."""
    is_new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [field.name for field in fields(ZooRow)], lineterminator="\n")
        if is_new:
            table.writeheader()
        table.writerow(asdict(row))


def count_families(rows: Iterable[ZooRow]) -> tuple[list[str], list[str]]:
    """Families that can be built here, and those of them of which every config holds."""
    buildable: dict[str, bool] = {}
    for row in rows:
        if row.outcome != "environment":
            buildable[row.family] = buildable.get(row.family, True) and row.outcome == "holds"
    return list(buildable), [family for family, holds in buildable.items() if holds]


def summary(rows: Sequence[ZooRow]) -> str:
    """One line about the families.

    >>> a, b = ZooRow("gfl", "gfl_r50", "holds"), ZooRow("paa", "paa_r50", "refused")
    >>> summary([a, b])
    '1 of 2 families hold with witnessed labels (50 %); not: paa'
    """
    buildable, holding = count_families(rows)
    share = 100 * len(holding) / max(len(buildable), 1)
    remaining = [family for family in buildable if family not in holding]
    tail = f"; not: {', '.join(remaining)}" if remaining else ""
    return (
        f"{len(holding)} of {len(buildable)} families hold with witnessed labels "
        f"({share:.0f} %){tail}"
    )


def support_table(rows: Sequence[ZooRow]) -> str:
    """The table as Markdown, by outcome, in the order of the families."""
    lines = [
        "| family | config | worst residual | loss beside the rows | rows witnessed |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for outcome, title in _GROUPS:
        group = sorted((r for r in rows if r.outcome == outcome), key=lambda r: r.family)
        if group:
            lines.append(f"| **{title}: {len(group)}** | | | | |")
        for row in group:
            cells = [row.worst, _write_percent(row.unlabeled), f"{row.witnessed} of {row.rows}"]
            if not row.worst:
                cells = [row.sentence.replace("|", "/"), "", ""]
            lines.append(f"| {row.family} | {row.config} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _write_percent(text: str) -> str:
    share = float(text or "nan")
    return "?" if math.isnan(share) else f"{100 * share:.3g} %" if share else "0"
