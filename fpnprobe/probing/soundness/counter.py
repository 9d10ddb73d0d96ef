"""Keeps count of samples that do not hold, and says so once, in a sentence."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.sample import Residuals, Sample, worst
from fpnprobe.probing.soundness.arithmetic import WHOLE
from fpnprobe.probing.soundness.verdict import Verdict

_NAMES = ("loss", "gradient", "routes")
_STATE = (
    "samples", "unsound", "nonfinite", "underflow", "sentence", "arithmetic", "tolerance", "proof",
    "looks", "rounding", "acquitted",
)  # fmt: skip


class Soundness:
    """Counts the samples of one run by what they are worth.

    Args:
        strict: Raise at the first sample that does not hold.
        tell: Is given each warning; the same kind of warning is given once.

    Attributes:
        samples: All samples.
        unsound: Those whose sums do not hold.
        nonfinite: Those with a gradient that is not finite.
        underflow: Those with a bucket that float16 could not hold.
        proof: What measuring the first sample of reduced precision again in float32 gave, or None.
        looks: Samples over tolerance that were measured again in finer arithmetic.
        rounding: Residuals up to this are known to be rounding.
        acquitted: Whether a sample whose values alone do not split by bucket was shown to hold.
    """

    def __init__(
        self, *, strict: bool = False, tell: Callable[[str], object] = lambda _sentence: None
    ) -> None:
        self._strict, self._tell, self._told_sentences = strict, tell, set[str]()
        self.samples = self.unsound = self.nonfinite = self.underflow = 0
        self.arithmetic, self.sentence = "", ""
        self.tolerance = math.nan
        self.proof: dict[str, Any] | None = None
        self.looks, self.rounding, self.acquitted = 0, 0.0, False
        self.residuals = dict.fromkeys(_NAMES, math.nan)

    def add(self, sample: Sample) -> Sample:
        """Count a sample, and warn of what is wrong with it.

        Raises:
            FpnProbeError: If its sums do not hold and the run is strict.
        """
        self.samples += 1
        verdict, when = sample.verdict, f"iteration {sample.iteration}"
        self.arithmetic = verdict.arithmetic
        self.tolerance = worst((self.tolerance, verdict.tolerance))
        if not sample.finite:
            self.nonfinite += 1
            self._warn_once("nonfinite", f"{when}: a gradient is not finite, its rows are left out")
            return sample
        for name in _NAMES:
            residual = getattr(sample.residuals, name)
            self.residuals[name] = worst((self.residuals[name], residual))
        if not verdict.sound:
            self.unsound += 1
            self.sentence = self.sentence or verdict.sentence
            if self._strict:
                raise FpnProbeError(f"{when}: {verdict.sentence}")
            self._warn_once(
                "unsound",
                f"{when}: {verdict.sentence}; its rows are unsound and left out of every figure",
            )
        elif verdict.sentence:
            self._warn_once("note", f"{when}: {verdict.sentence}")
        if sample.underflows:
            self.underflow += 1
            lost = ", ".join(sample.underflows[:3]) + (", ..." if sample.underflows[3:] else "")
            self._warn_once(
                "underflow",
                f"{when}: float16 cannot hold the gradient of {lost}: those rows say underflow",
            )
        return sample

    def prove(self, sample: Sample, residuals: Residuals) -> Sample:
        """The sample under what the same step gave in whole float32."""
        verdict = residuals.judge("float32")
        self.record_proof(residuals.worst, verdict)
        if verdict.sound:
            return sample.judged(replace(sample.verdict, sound=True))
        return self.condemn(sample)

    def record_proof(self, residual: float, verdict: Verdict) -> None:
        """Record the verdict on a sample that was measured again in whole float32."""
        self.proof = {"arithmetic": "float32", "residual": residual, "holds": verdict.sound}
        if not verdict.sound:
            self.proof["reason"] = verdict.sentence

    def disproves(self, sample: Sample) -> bool:
        """Tell whether a sample is of reduced precision in a run whose proof in float32 failed.

        A term that is missing in float32 is missing in every sample of the run, and the tolerance
        of reduced precision hides it.
        """
        failed = self.proof is not None and self.proof.get("holds") is False
        return failed and sample.finite and sample.verdict.arithmetic not in WHOLE

    def condemn(self, sample: Sample) -> Sample:
        """The sample as unsound, for the reason that the proof failed."""
        reason = (self.proof or {}).get("reason", "")
        sentence = f"measured again in float32, a sample of this run does not hold: {reason}"
        return sample.judged(replace(sample.verdict, sound=False, sentence=sentence))

    def note(self, sentence: str) -> None:
        """Say something that is no fault, once."""
        self._warn_once(sentence, sentence)

    def summary(self) -> dict[str, Any]:
        """For run file and manifest: JSON, with None for what was not measured."""
        return {
            "samples": self.samples,
            "unsound": self.unsound,
            "nonfinite": self.nonfinite,
            "underflow": self.underflow,
            "arithmetic": self.arithmetic or None,
            "tolerance": _number_or_none(self.tolerance),
            "proof": self.proof,
            "problem": self.sentence,
            "residuals": {name: _number_or_none(value) for name, value in self.residuals.items()},
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run goes on from."""
        return {**{name: getattr(self, name) for name in _STATE}, "residuals": {**self.residuals}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        for name in _STATE:
            setattr(self, name, state.get(name, getattr(self, name)))
        self.residuals = dict(state["residuals"])

    def _warn_once(self, kind: str, sentence: str) -> None:
        if kind not in self._told_sentences:
            self._told_sentences.add(kind)
            self._tell(sentence)


def _number_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
