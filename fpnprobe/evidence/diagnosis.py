"""Diagnoses a detector's stages from its ledger, by written rules with thresholds.

| rule | found where |
|---|---|
| `soundness` | the sums of a sample do not hold |
| `frozen` | a backbone stage has no gradient |
| `direct-share` | the largest size is under 5 % of what comes directly to a stage |
| `index` | the all-object index of what comes directly to a stage is under 0.5 |
| `cancellation` | direct and deeper gradients of one size have a cosine under -0.2 at a stage |
| `conflict` | the gradients of two sizes have a cosine under -0.1 at a stage |
| `starving` | the objects' gradient at a stage is under 5 % of that at the stage with most |
| `auxiliary` | an auxiliary loss is over 80 % of a stage's, the smallest size under 10 % |

A rule is `found` where the whole 95 % interval over samples (a bootstrap, with the seeds of a
variant as they were drawn) is beyond its threshold, `clear` where the whole interval is within,
`undecided` between or with fewer than 5 samples, and `not measured` without data. Each says what
was measured. None says why: that takes an intervention.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from fpnprobe.evidence.findings import Energies, Finding
from fpnprobe.evidence.rules import RULES, Subject, judge
from fpnprobe.ledger import Ledger
from fpnprobe.statistics import resample_counts

RESAMPLES = 1000
# What stands first where several rules are found.
ORDER = (
    "soundness", "direct-share", "auxiliary", "cancellation", "conflict", "index", "starving",
    "frozen",
)  # fmt: skip


def diagnose(
    ledgers: Mapping[str, Sequence[Ledger]], *, buckets: Sequence[str], resamples: int = RESAMPLES
) -> list[Finding]:
    """The verdict of every rule about every variant.

    Args:
        ledgers: Ledgers of each variant, one for each seed.
        buckets: Object sizes, small to large.
        resamples: Of the bootstrap over samples.
    """
    findings: list[Finding] = []
    for variant, seeds in ledgers.items():
        energies = Energies.of(seeds, buckets)
        draws = (
            resample_counts(len(energies.squares), resamples=resamples, seed=0).astype(np.float64)
            if len(energies.squares)
            else np.zeros((resamples, 0))
        )
        subject = Subject(variant, energies, draws, seeds)
        findings += [judge(rule, subject) for rule in RULES]
    return findings


def headline(findings: Sequence[Finding]) -> str:
    """The most telling finding in one sentence with its next step."""
    beyond = [finding for finding in findings if finding.verdict == "found"]
    beyond.sort(key=lambda finding: ORDER.index(finding.rule))
    if beyond:
        first = beyond[0]
        more = f" {len(beyond) - 1} more in the table of rules." if len(beyond) > 1 else ""
        return f"{first.sentence}: {first.advice}.{more}"
    undecided = [finding for finding in findings if finding.verdict == "undecided"]
    if undecided:
        most = max(undecided, key=lambda finding: finding.samples)
        why = most.shortage or "more samples would tell"
        judged = sum(finding.verdict != "not measured" for finding in findings)
        return (
            f"No rule is found; {len(undecided)} of {judged} verdicts, one for each rule and "
            f"variant, are undecided: {why}."
        )
    if any(finding.verdict == "clear" for finding in findings):
        return "No rule is found: nothing that was measured is beyond its threshold."
    return "Nothing was measured that a rule could be held against."
