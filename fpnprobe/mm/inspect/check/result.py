"""The result of `fpnprobe check` for one detector."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing import LossPartition, Residuals
from fpnprobe.store.documents import number_or_none

RESIDUALS = ("loss", "parameter", "activation", "routes")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Residuals of one model, and whether its row labels were witnessed.

    Attributes:
        config: Name of the config.
        residuals: Relative residuals of loss, parameter, activation and routes; the loss's is NaN
            where the loss is no sum over its rows, or a part of it flows beside all labeled rows.
        tolerance: What none of them may exceed.
        terms: Loss terms that were found.
        passes: Extra backward passes made.
        rows: Rows of each loss that have an object.
        witnessed: How many of them were held against the target of their loss.
        unlabeled: Share of the loss that flows beside all labeled rows and counts as background.
        sentence: What is likely missing, or why a residual beyond the tolerance is none.
        acquitted: Whether what is beyond the tolerance was seen to be rounding, or is the value
            of a loss that is no sum over its rows while its gradient is whole.
        frozen: Whether no backbone stage trains, so that there is no gradient to add up there.
        error: What kept the model from being checked, in one line; empty if nothing did.
        exit_code: Exit code of that error.
    """

    config: str
    residuals: Residuals
    tolerance: float
    terms: tuple[str, ...] = ()
    passes: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    witnessed: Mapping[str, int] = field(default_factory=dict)
    unlabeled: float = 0.0
    sentence: str = ""
    acquitted: bool = False
    frozen: bool = False
    error: str = ""
    exit_code: int = 0

    @classmethod
    def failed(cls, config: str, tolerance: float, error: FpnProbeError) -> "CheckResult":
        """The result of a config that cannot be checked."""
        line = " ".join(str(error).split()) or type(error).__name__
        return cls(config, Residuals(), tolerance, error=line, exit_code=error.exit_code)

    @property
    def ok(self) -> bool:
        """Whether every residual is within the tolerance, or acquitted of being beyond it."""
        return not self.error and all(self.excess(name) <= 1 for name in RESIDUALS)

    @property
    def is_witnessed(self) -> bool:
        """Whether the object of some row was held against its loss's target."""
        return sum(self.witnessed.values()) > 0

    def excess(self, name: str) -> float:
        """A residual in units of the tolerance; infinite where it was not measured."""
        value = float(getattr(self.residuals, name))
        if math.isnan(value):
            return 0.0 if name == "loss" or self.frozen else math.inf
        if self.acquitted:
            return min(value / self.tolerance, 1.0) if self.tolerance else 0.0
        return value / self.tolerance if self.tolerance else math.inf * value if value else 0.0

    @property
    def labels(self) -> str:
        """Rows whose labels were witnessed, of those with an object; or `NOT checked`."""
        return _of_rows(sum(self.witnessed.values()), sum(self.rows.values()))

    def labels_by_loss(self) -> dict[str, str]:
        """`labels` of each loss that has rows with an object."""
        return {name: _of_rows(self.witnessed.get(name, 0), n) for name, n in self.rows.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return `{config, residuals: {loss, ...}, tolerance, ok, rows, witnessed, unlabeled}`."""
        entries: dict[str, Any] = {
            "config": self.config,
            "residuals": {
                name: number_or_none(getattr(self.residuals, name)) for name in RESIDUALS
            },
            "tolerance": self.tolerance,
            "ok": self.ok,
            "rows": dict(self.rows),
            "witnessed": dict(self.witnessed),
            "unlabeled": number_or_none(self.unlabeled),
        }
        if self.sentence:
            entries["note"] = self.sentence
        return {**entries, "error": self.error} if self.error else entries


def rows_with_objects(partition: LossPartition, compared: Mapping[str, int]) -> dict[str, int]:
    """Number of rows of each loss that have an object, and of what else was `compared` by name."""
    background = len(partition.buckets)
    counts: Counter[str] = Counter()
    for call in partition.calls:
        counts[call.name] += int(((call.labels >= 0) & (call.labels < background)).sum())
    return {name: rows for name, rows in {**compared, **counts}.items() if rows}


def _of_rows(witnessed: int, rows: int) -> str:
    return f"{witnessed}/{rows}" if witnessed else "NOT checked"
