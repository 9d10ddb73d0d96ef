"""A step measured again in whole arithmetic: rounding goes away there, a missing term does not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from fpnprobe.mm.hook.random_states import read_states
from fpnprobe.mm.hook.remeasure import Step, measure_again
from fpnprobe.probing.probe import Probe
from fpnprobe.probing.sample import Residuals, Sample, worst
from fpnprobe.probing.soundness.arithmetic import TOLERANCES, WHOLE
from fpnprobe.probing.soundness.verdict import Verdict
from fpnprobe.scales import ScaleBucket

LOOKS = 3  # samples over tolerance that one run looks at again
MARGIN = 4.0  # residuals up to this many times a proven rounding are rounding too
ROUNDING = 1e-2  # what is left of a residual in finer arithmetic, where it was rounding


class SecondLook:
    """Reviews the samples of one run.

    In reduced precision the first sample is measured again in whole float32, where it must hold
    1e-5: no missing term can hide under a wide tolerance. A sample over its tolerance is measured
    again one arithmetic finer; what falls to a hundredth there was rounding.

    Args:
        probe: What is measured.
        buckets: Scale buckets.
        tell: Is given a sentence about what was found.

    Attributes:
        proof: The arithmetic and the worst residual of the first sample's second look, or None.
    """

    def __init__(
        self,
        probe: Probe,
        buckets: tuple[ScaleBucket, ...],
        *,
        tell: Callable[[str], object] = lambda _sentence: None,
    ) -> None:
        self._probe = replace(probe, mode="full", terms="none", derive=False, audit="sketch")
        self._buckets, self._tell = buckets, tell
        self._step: Step | None = None
        self._looks, self._limit, self._split = 0, 0.0, False
        self.proof: dict[str, Any] | None = None

    @contextmanager
    def remembered(self, model: Any) -> Iterator[None]:
        """Remember how the forward pass inside began."""

        def remember(module: Any, args: Any, kwargs: Any) -> None:
            buffers = {name: b.clone() for name, b in module.named_buffers() if b is not None}
            self._step = Step(args, dict(kwargs), buffers, read_states())

        handle = model.register_forward_pre_hook(remember, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    def review(self, model: Any, sample: Sample) -> Sample:
        """The sample under the verdict that a second look gives, where one is due."""
        step, self._step = self._step, None
        verdict = sample.verdict
        if not sample.finite or step is None:
            return sample
        if verdict.over == ("loss",):
            # Where the values of a loss do not split by bucket, an audited sample tells it.
            self._split = self._split or verdict.sound or self._splits(model, step, sample)
            return sample.judged(replace(verdict, sound=self._split))
        reduced = verdict.arithmetic not in WHOLE
        if verdict.over and _size(sample.residuals) <= self._limit:
            return sample.judged(replace(verdict, sound=True, tolerance=self._limit))
        if reduced and self.proof is None:
            return self._prove(model, step, sample)
        if verdict.over and self._looks < LOOKS:
            self._looks += 1
            return sample.judged(self._finer(model, step, sample))
        return sample

    def _splits(self, model: Any, step: Step, sample: Sample) -> bool:
        whole = torch.float64 if sample.verdict.arithmetic == "float64" else torch.float32
        residuals, _ = self._again(model, step, whole)
        return residuals is not None and residuals.judge(str(whole).removeprefix("torch.")).sound

    def _prove(self, model: Any, step: Step, sample: Sample) -> Sample:
        residuals, problem = self._again(model, step, torch.float32)
        if residuals is None:
            self.proof = {"arithmetic": "float32", "residual": None, "reason": problem}
            self._tell(f"could not be measured again in float32 ({problem})")
            return sample
        verdict = residuals.judge("float32")
        if not verdict.sound:
            verdict = self._rounding(model, step, residuals, verdict, "float64")
        size = _size(residuals)
        self.proof = {"arithmetic": "float32", "residual": size, "holds": verdict.sound}
        if not verdict.sound:
            sentence = f"measured again in float32, {verdict.sentence}"
            return sample.judged(replace(sample.verdict, sound=False, sentence=sentence))
        if sample.verdict.over:
            return sample.judged(self._acquitted(sample, f"{size:.1e} in float32"))
        return sample

    def _finer(self, model: Any, step: Step, sample: Sample) -> Verdict:
        verdict = sample.verdict
        finer = {"float64": "", "float32": "float64"}.get(verdict.arithmetic, "float32")
        return self._rounding(model, step, sample.residuals, verdict, finer) if finer else verdict

    def _rounding(
        self, model: Any, step: Step, residuals: Residuals, verdict: Verdict, finer: str
    ) -> Verdict:
        """The verdict, or that it was rounding if it goes away in the finer arithmetic."""
        finer_residuals, problem = self._again(model, step, getattr(torch, finer))
        if finer_residuals is None:
            return replace(
                verdict,
                sentence=f"{verdict.sentence} (it could not be measured again in {finer}, "
                f"{problem}: rounding is not excluded)",
            )
        before, after = _size(residuals), _size(finer_residuals)
        if after > max(TOLERANCES[finer], ROUNDING * before):
            return replace(verdict, sentence=f"{verdict.sentence} ({after:.1e} in {finer} too)")
        self._limit = max(self._limit, MARGIN * before)
        return self._rounded(verdict, before, f"{after:.1e} in {finer}")

    def _acquitted(self, sample: Sample, evidence: str) -> Verdict:
        before = _size(sample.residuals)
        self._limit = max(self._limit, MARGIN * before)
        return self._rounded(sample.verdict, before, evidence)

    def _rounded(self, verdict: Verdict, before: float, evidence: str) -> Verdict:
        sentence = f"the residual of {before:.1e} is rounding of {verdict.arithmetic}: {evidence}"
        self._tell(sentence)
        return replace(verdict, sound=True, tolerance=self._limit, sentence=sentence)

    def _again(self, model: Any, step: Step, dtype: torch.dtype) -> tuple[Residuals | None, str]:
        """Residuals of the same step in another type, or why there are none."""
        try:
            return measure_again(model, step, dtype, self._probe, self._buckets), ""
        except Exception as error:  # a detector that cannot be copied, or knows one type only
            return None, " ".join(str(error).split())[:160] or type(error).__name__


def _size(residuals: Residuals) -> float:
    """Return the worst of gradients and routes; of values where neither was measured."""
    gradient_residual = worst((residuals.activation, residuals.parameter, residuals.routes))
    return residuals.loss if gradient_residual != gradient_residual else gradient_residual
