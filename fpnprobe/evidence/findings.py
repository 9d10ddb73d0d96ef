"""A rule's verdict, and the numbers that the rules of a diagnosis are held against."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from fpnprobe.ledger import Ledger
from fpnprobe.statistics import USED, evenness, percentile_interval

Verdict = Literal["found", "clear", "undecided", "not measured"]
Floats = npt.NDArray[np.float64]

DIRECT_SHARE, INDEX, CANCELLATION, CONFLICT = 0.05, 0.5, -0.2, -0.1
STARVING, AUXILIARY, SMALL = 0.05, 0.8, 0.1
FEWEST = 5  # samples below which nothing is decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The verdict of one rule about one variant, at the stage where it is most beyond.

    Attributes:
        rule: Name of the rule.
        variant: Whom it is about.
        stage: Where, such as `C2`; "" for a whole run.
        verdict: `found`, `clear`, `undecided` or `not measured`.
        value: What was measured.
        low: End of its 95 % interval over samples.
        high: The other end.
        threshold: What it is held against.
        samples: Samples that it rests on.
        sentence: What was measured, in words.
        advice: What to try next; "" where nothing was found.
    """

    rule: str
    variant: str
    stage: str = ""
    verdict: Verdict
    value: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    threshold: float = float("nan")
    samples: int = 0
    sentence: str
    advice: str = ""

    @property
    def shortage(self) -> str:
        """Why it is undecided where that is for too few samples; else ""."""
        if self.verdict != "undecided" or self.samples >= FEWEST:
            return ""
        return f"{self.samples} sample{'s' * (self.samples != 1)}, {FEWEST} needed"

    def to_data(self) -> dict[str, Any]:
        """As JSON, with None for what is no number."""
        return {k: None if v != v else v for k, v in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Energies:
    """Squared norms of one variant's samples: `(samples, stages, routes, buckets)`, NaN unmeasured.

    Attributes:
        squares: The squared norms; of a size that is not in the batch, 0.
        counts: Objects of each size in each sample, `(samples, buckets)`.
        stages: `C2`, ...
        routes: `total`, `direct`, `deeper`, `auxiliary`, as far as there are any.
        buckets: Object sizes, small to large.
    """

    squares: Floats
    counts: Floats
    stages: tuple[str, ...]
    routes: tuple[str, ...]
    buckets: tuple[str, ...]

    @classmethod
    def of(cls, ledgers: Sequence[Ledger], buckets: Sequence[str]) -> "Energies":
        """The energies of the ledgers of a variant's seeds."""
        frames = [
            ledger.frame.assign(sample=ledger.frame["iteration"].astype(str) + f"/{number}")
            for number, ledger in enumerate(ledgers)
        ]
        frame = pd.concat(frames, ignore_index=True)
        rows = frame[
            (frame["kind"] == "activation")
            & (frame["term"] == "all")
            & frame["tap"].str.fullmatch(r"C\d+")
            & frame["bucket"].isin(list(buckets))
            & frame["state"].isin(USED)
        ]
        samples = list(dict.fromkeys(rows["sample"]))
        stages = tuple(sorted(set(rows["tap"])))
        routes = tuple(
            r for r in ("total", "direct", "deeper", "auxiliary") if r in set(rows["route"])
        )
        squares = np.full((len(samples), len(stages), len(routes), len(buckets)), np.nan)
        counts = np.full((len(samples), len(buckets)), np.nan)
        index_of_sample = {name: at for at, name in enumerate(samples)}
        at = (
            rows["sample"].map(index_of_sample).to_numpy(),
            rows["tap"].map({n: i for i, n in enumerate(stages)}).to_numpy(),
            rows["route"].map({n: i for i, n in enumerate(routes)}).to_numpy(),
            rows["bucket"].map({n: i for i, n in enumerate(buckets)}).to_numpy(),
        )
        if len(rows):
            squares[at] = rows["l2"].to_numpy(np.float64) ** 2
            counts[at[0], at[3]] = rows["n_objects"].to_numpy(np.float64)
        return cls(squares, counts, stages, routes, tuple(buckets))

    def route(self, name: str) -> Floats | None:
        """`(samples, stages, buckets)` of a route, or None where no stage has it."""
        return self.squares[:, :, self.routes.index(name)] if name in self.routes else None


def decide(
    values: Floats, value: float, threshold: float, *, below: bool, samples: int
) -> tuple[Verdict, float, float]:
    """The verdict of a value with its bootstrap samples, and the interval; one sample has none."""
    if value != value:
        return "not measured", float("nan"), float("nan")
    finite_values = values[np.isfinite(values)]
    low, high = (
        percentile_interval(finite_values, items=samples)
        if len(finite_values) and samples > 1
        else (float("nan"), float("nan"))
    )
    if samples < FEWEST or low != low:
        return "undecided", low, high
    if (high < threshold) if below else (low > threshold):
        return "found", low, high
    return ("clear" if ((low >= threshold) if below else (high <= threshold)) else "undecided",
            low, high)  # fmt: skip


def index_of(squares: Floats, counts: Floats, weights: Floats) -> Floats:
    """All-object index of `(samples, buckets)` energies under draws `(resamples, samples)`."""
    with np.errstate(invalid="ignore", divide="ignore"):
        energy = squares / np.where(counts > 0, counts, np.nan) ** 2
    measured = np.isfinite(energy)
    filled = np.where(measured, energy, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (weights @ filled) / (weights @ measured.astype(np.float64))
    return np.array([evenness(row) for row in means])


def interval(low: float, high: float, write: Callable[[float], str] = "{:.2f}".format) -> str:
    """An interval as it follows a value in a sentence; "" where there is none.

    >>> interval(0.25, 0.5), interval(float("nan"), float("nan"))
    (', interval 0.25 to 0.50', '')
    """
    return f", interval {write(low)} to {write(high)}" if low == low else ""


def percent(value: float) -> str:
    """A share as set in a sentence.

    >>> percent(0.003), percent(0.253)
    ('0.3 %', '25 %')
    """
    return f"{100 * value:.1f} %" if value < 0.1 else f"{100 * value:.0f} %"
