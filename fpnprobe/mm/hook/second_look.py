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
from fpnprobe.probing.soundness.counter import Soundness
from fpnprobe.probing.soundness.verdict import Verdict
from fpnprobe.scales import ScaleBucket

LOOKS = 3  # samples over tolerance that one run looks at again
MARGIN = 4.0  # residuals up to this many times a proven rounding are rounding too
ROUNDING = 1e-2  # what is left of a residual in finer arithmetic, where it was rounding


class SecondLook:
    """Reviews the samples of one run.

    In reduced precision the first sample is measured again in whole float32, where it must hold
    1e-5: no missing term can hide under a wide tolerance. Where it does not hold, the later samples
    of reduced precision are unsound too. A sample over its tolerance is measured again one
    arithmetic finer; what falls to a hundredth there was rounding.

    Args:
        probe: What is measured.
        buckets: Scale buckets.
        soundness: Holds what was proven in the run, before a resume too; by default a new one.
        tell: Is given a sentence about what was found.
    """

    def __init__(
        self,
        probe: Probe,
        buckets: tuple[ScaleBucket, ...],
        *,
        soundness: Soundness | None = None,
        tell: Callable[[str], object] = lambda _sentence: None,
    ) -> None:
        self._probe = replace(probe, mode="full", terms="none", derive=False, audit="sketch")
        self._buckets, self._tell = buckets, tell
        self._soundness = Soundness() if soundness is None else soundness
        self._step: Step | None = None

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
        if self._soundness.disproves(sample):
            return self._soundness.condemn(sample)
        if not sample.finite or step is None:
            return sample
        reduced = verdict.arithmetic not in WHOLE
        unproven = reduced and self._soundness.proof is None
        if verdict.over == ("loss",) and not unproven:
            # Where the values of a loss do not split by bucket, an audited sample tells it.
            if not self._soundness.acquitted:
                self._soundness.acquitted = verdict.sound or self._values_split(model, step, sample)
            return sample.judged(replace(verdict, sound=self._soundness.acquitted))
        if verdict.over and _worst_residual(sample.residuals) <= self._soundness.rounding:
            return sample.judged(replace(verdict, sound=True, tolerance=self._soundness.rounding))
        if unproven:
            return self._prove_first(model, step, sample)
        if verdict.over and self._soundness.looks < LOOKS:
            self._soundness.looks += 1
            return sample.judged(self._judge_finer(model, step, sample))
        return sample

    def _values_split(self, model: Any, step: Step, sample: Sample) -> bool:
        whole = torch.float64 if sample.verdict.arithmetic == "float64" else torch.float32
        residuals, _ = self._measure_again(model, step, whole)
        return residuals is not None and residuals.judge(str(whole).removeprefix("torch.")).sound

    def _prove_first(self, model: Any, step: Step, sample: Sample) -> Sample:
        residuals, problem = self._measure_again(model, step, torch.float32)
        if residuals is None:
            self._soundness.proof = {"arithmetic": "float32", "residual": None, "reason": problem}
            self._tell(f"could not be measured again in float32 ({problem})")
            return sample
        verdict = residuals.judge("float32")
        if not verdict.sound:
            verdict = self._judge_rounding(model, step, residuals, verdict, "float64")
        size = _worst_residual(residuals)
        self._soundness.record_proof(size, verdict)
        if not verdict.sound:
            return self._soundness.condemn(sample)
        if sample.verdict.over == ("loss",):
            self._soundness.acquitted = True  # the values alone: the gradients held
            return sample.judged(replace(sample.verdict, sound=True))
        if sample.verdict.over:
            return sample.judged(self._acquit_sample(sample, f"{size:.1e} in float32"))
        return sample

    def _judge_finer(self, model: Any, step: Step, sample: Sample) -> Verdict:
        verdict = sample.verdict
        finer = {"float64": "", "float32": "float64"}.get(verdict.arithmetic, "float32")
        return (
            self._judge_rounding(model, step, sample.residuals, verdict, finer)
            if finer
            else verdict
        )

    def _judge_rounding(
        self, model: Any, step: Step, residuals: Residuals, verdict: Verdict, finer: str
    ) -> Verdict:
        """The verdict, or that it was rounding if it goes away in the finer arithmetic."""
        finer_residuals, problem = self._measure_again(model, step, getattr(torch, finer))
        if finer_residuals is None:
            return replace(
                verdict,
                sentence=f"{verdict.sentence} (it could not be measured again in {finer}, "
                f"{problem}: rounding is not excluded)",
            )
        before, after = _worst_residual(residuals), _worst_residual(finer_residuals)
        if after > max(TOLERANCES[finer], ROUNDING * before):
            return replace(verdict, sentence=f"{verdict.sentence} ({after:.1e} in {finer} too)")
        self._soundness.rounding = max(self._soundness.rounding, MARGIN * before)
        return self._call_rounding(verdict, before, f"{after:.1e} in {finer}")

    def _acquit_sample(self, sample: Sample, evidence: str) -> Verdict:
        before = _worst_residual(sample.residuals)
        self._soundness.rounding = max(self._soundness.rounding, MARGIN * before)
        return self._call_rounding(sample.verdict, before, evidence)

    def _call_rounding(self, verdict: Verdict, before: float, evidence: str) -> Verdict:
        sentence = f"the residual of {before:.1e} is rounding of {verdict.arithmetic}: {evidence}"
        self._tell(sentence)
        return replace(verdict, sound=True, tolerance=self._soundness.rounding, sentence=sentence)

    def _measure_again(
        self, model: Any, step: Step, dtype: torch.dtype
    ) -> tuple[Residuals | None, str]:
        """Residuals of the same step in another type, or why there are none."""
        try:
            return measure_again(model, step, dtype, self._probe, self._buckets), ""
        except Exception as error:  # a detector that cannot be copied, or knows one type only
            return None, " ".join(str(error).split())[:160] or type(error).__name__


def _worst_residual(residuals: Residuals) -> float:
    """Return the worst of gradients and routes; of values where neither was measured."""
    gradient_residual = worst((residuals.activation, residuals.parameter, residuals.routes))
    return residuals.loss if gradient_residual != gradient_residual else gradient_residual
