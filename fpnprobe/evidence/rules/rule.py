"""The skeleton of a rule: candidates at every stage, an interval for each, the worst of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fpnprobe.evidence.findings import FEWEST, Energies, Finding, Floats, Verdict, decide
from fpnprobe.ledger import Ledger

STUDY = "`fpnprobe init own`, then `fpnprobe run-study own --variants"
_RANKS = {"found": 3, "undecided": 2, "clear": 1, "not measured": 0}


@dataclass(frozen=True, slots=True)
class Subject:
    """A variant as the rules see it.

    Attributes:
        variant: Its name.
        energies: Squared norms of its samples.
        draws: How often each resample drew each sample, `(resamples, samples)`.
        ledgers: The ledgers of its seeds.
    """

    variant: str
    energies: Energies
    draws: Floats
    ledgers: Sequence[Ledger]

    def count_samples_with(self, bucket: int) -> int:
        """Samples with objects of a size; all where nobody counted."""
        counts = self.energies.counts[:, bucket]
        return int(((counts > 0) | (counts < 0)).sum())

    def lacks_objects(self, bucket: int) -> bool:
        """Whether objects were counted and no sample has one of this size."""
        counts = self.energies.counts[:, bucket]
        return bool(len(counts)) and not np.nan_to_num(counts).any()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A measurement of a rule at one stage.

    Attributes:
        stage: The stage, such as `C2`.
        value: What is held against the threshold.
        resampled: The same of each resample; NaN where a resample has none.
        samples: Samples that it rests on.
        describe: Gives the sentence from the verdict and the two ends of the interval.
        advice: What to try next where the rule is found.
        is_harmless: Whether something else keeps the rule from being found here.
    """

    stage: str
    value: float
    resampled: Floats
    samples: int
    describe: Callable[[Verdict, float, float], str]
    advice: str
    is_harmless: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: found where the whole interval of a candidate is below the threshold.

    Attributes:
        name: Name in tables and JSON.
        threshold: What the candidates are held against.
        measure: Gives the candidates of a variant, or why there are none.
    """

    name: str
    threshold: float
    measure: Callable[[Subject], Sequence[Candidate] | str]

    def judge(self, subject: Subject) -> Finding:
        """The verdict about a variant, at the stage where it is most beyond the threshold."""
        candidates = self.measure(subject)
        if isinstance(candidates, str):
            return Finding(
                rule=self.name,
                variant=subject.variant,
                verdict="not measured",
                sentence=candidates,
            )
        findings = [self._decide_candidate(subject, candidate) for candidate in candidates]
        return max(findings, key=_rank_finding)

    def _decide_candidate(self, subject: Subject, candidate: Candidate) -> Finding:
        verdict, low, high = decide(
            candidate.resampled,
            candidate.value,
            self.threshold,
            below=True,
            samples=candidate.samples,
        )
        if candidate.is_harmless and verdict in ("found", "undecided"):
            verdict = "clear"
        return Finding(
            rule=self.name,
            variant=subject.variant,
            stage=candidate.stage,
            verdict=verdict,
            value=candidate.value,
            low=low,
            high=high,
            threshold=self.threshold,
            samples=candidate.samples,
            sentence=candidate.describe(verdict, low, high),
            advice=candidate.advice if verdict == "found" else "",
        )


@dataclass(frozen=True, slots=True)
class StateRule:
    """A rule that counts states and needs no interval.

    Attributes:
        name: Name in tables and JSON.
        judge: Gives the verdict about a variant.
    """

    name: str
    judge: Callable[[Subject], Finding]


def judge(rule: Rule | StateRule, subject: Subject) -> Finding:
    """The verdict of any rule about a variant."""
    return rule.judge(subject)


def share_of(squares: Floats, bucket: int) -> Floats:
    """The part of one size in `(..., buckets)` squared norms; NaN where there is nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = squares[..., bucket] / squares.sum(-1)
    return share


def _rank_finding(finding: Finding) -> tuple[int, float]:
    """Key that is largest for the finding most beyond its threshold."""
    rank = _RANKS[finding.verdict]
    if finding.verdict == "undecided" and finding.samples < FEWEST:
        rank = _RANKS["clear"]
    return rank, finding.threshold - finding.value
