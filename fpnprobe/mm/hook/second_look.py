"""A step measured again in whole arithmetic: rounding goes away there, a missing term does not."""

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fpnprobe.mm.adapters import observe
from fpnprobe.probing.probe import Probe
from fpnprobe.probing.sample import Residuals, Sample, worst
from fpnprobe.probing.soundness.arithmetic import TOLERANCES, WHOLE, whole_float32
from fpnprobe.probing.soundness.verdict import Verdict
from fpnprobe.probing.step_context import StepContext
from fpnprobe.scales import ScaleBucket

LOOKS = 3  # samples over tolerance that one run looks at again
MARGIN = 4.0  # residuals up to this many times a proven rounding are rounding too
ROUNDING = 1e-2  # what is left of a residual in finer arithmetic, where it was rounding


@dataclass(frozen=True, slots=True)
class Step:
    """One forward pass as it began: what the detector was given, and the state it started from."""

    arguments: tuple[Any, ...]
    named: Mapping[str, Any]
    buffers: Mapping[str, Tensor]
    generators: tuple[Any, ...]


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
            self._step = Step(args, dict(kwargs), buffers, _generators())

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
            return _measured(model, step, dtype, self._probe, self._buckets), ""
        except Exception as error:  # a detector that cannot be copied, or knows one type only
            return None, " ".join(str(error).split())[:160] or type(error).__name__


def _measured(
    model: Any, step: Step, dtype: torch.dtype, probe: Probe, buckets: tuple[ScaleBucket, ...]
) -> Residuals:
    twin = copy.deepcopy(model)
    twin.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, buffer in twin.named_buffers():
            buffer.copy_(step.buffers.get(name, buffer))
    twin.to(dtype)
    arguments, keywords = _cast(step.arguments, dtype), _cast(dict(step.named), dtype)
    with ExitStack() as inside:
        inside.enter_context(whole_float32())
        inside.enter_context(_from(step.generators))
        inside.enter_context(torch.enable_grad())
        with _MixedTypes(), observe(twin, buckets) as observation:
            losses = twin(*arguments, **keywords)
        loss, _ = twin.parse_losses(losses)
        try:
            return probe.measure(
                loss,
                observation.partition,
                observation.taps(),
                StepContext(auxiliary=observation.auxiliary),
            ).residuals
        finally:
            observation.release()


class _MixedTypes(TorchFunctionMode):
    """Joins numbers of two types where torch refuses to.

    A head that makes its targets as float32 by word could not be measured in float64 otherwise.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function again in the wider type, or with what is assigned in the target's."""
        kwargs = kwargs or {}
        try:
            return func(*args, **kwargs)
        except RuntimeError as error:
            if "dtype" not in str(error):
                raise
        if func is Tensor.__setitem__:
            args = (*args[:2], args[2].to(args[0].dtype))
        else:
            args, kwargs = map(_widen, args), {key: _widen(one) for key, one in kwargs.items()}
        return func(*args, **kwargs)


def _widen(value: Any) -> Any:
    is_narrow = isinstance(value, Tensor) and value.dtype == torch.float32
    return value.double() if is_narrow else value


def _size(residuals: Residuals) -> float:
    """The worst of gradients and routes; values where neither was measured."""
    gradient_residual = worst((residuals.activation, residuals.parameter, residuals.routes))
    return residuals.loss if gradient_residual != gradient_residual else gradient_residual


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Tensors with a fractional part in another type, within what a detector is given."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, Mapping):
        return {key: _cast(item, dtype) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_cast(item, dtype) for item in value)
    if hasattr(value, "gt_instances"):  # a data sample
        value = copy.copy(value)
        for name in ("gt_instances", "ignored_instances"):
            if name in value:
                setattr(value, name, _cast_instances(getattr(value, name), dtype))
    return value


def _cast_instances(instances: Any, dtype: torch.dtype) -> Any:
    instances = instances.clone()
    for name, field in instances.items():
        tensor = getattr(field, "tensor", field)
        if isinstance(tensor, Tensor) and tensor.is_floating_point():
            setattr(instances, name, field.to(dtype))
    return instances


def _generators() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    numbers = np.random.get_state()  # noqa: NPY002 - mmdet draws from it
    return random.getstate(), numbers, torch.get_rng_state(), cuda


@contextmanager
def _from(states: tuple[Any, ...]) -> Iterator[None]:
    """Every random generator at these states inside, and as it was outside."""
    before = _generators()
    try:
        _set(states)
        yield
    finally:
        _set(before)


def _set(states: tuple[Any, ...]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])
    for device, state in enumerate(states[3]):
        torch.cuda.set_rng_state(state, device)
