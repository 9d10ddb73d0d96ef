"""Do the sums of a sample hold, and if not, what is likely missing."""

from collections.abc import Sequence
from dataclasses import dataclass

from fpnprobe.probing.soundness.arithmetic import TOLERANCES

_GRADIENT = ("activation", "parameter")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of a sample's residuals.

    Attributes:
        arithmetic: A key of `TOLERANCES`.
        tolerance: What a residual may be in that arithmetic.
        over: Residuals beyond it: of `loss`, `activation`, `parameter`, `routes`.
        sound: Whether the gradients may be used. The value of a loss may fail to split by bucket
            where its gradient does not; then the gradients are whole.
        sentence: What is likely missing; "" where every sum holds.
    """

    arithmetic: str = "float32"
    tolerance: float = TOLERANCES["float32"]
    over: tuple[str, ...] = ()
    sound: bool = True
    sentence: str = ""


def judge(
    residuals: Sequence[tuple[str, float]], arithmetic: str, *, tolerance: float | None = None
) -> Verdict:
    """Hold named residuals (NaN: not measured) against the tolerance of their arithmetic.

    >>> judge([("loss", 1e-7), ("activation", 0.4)], "float32").sentence[:57]
    'the gradient of the buckets lacks 40 % at the activations'
    >>> judge([("loss", 0.2), ("activation", 1e-7)], "float32").sound
    True
    """
    limit = TOLERANCES[arithmetic] if tolerance is None else tolerance
    by_name = dict(residuals)
    over = tuple(name for name, value in residuals if value > limit)
    if not over:
        return Verdict(arithmetic, limit)
    audited = any(by_name.get(name, float("nan")) == by_name.get(name) for name in _GRADIENT)
    gradient = [name for name in _GRADIENT if name in over]
    sound = not gradient and "routes" not in over and (audited or "loss" not in over)
    return Verdict(arithmetic, limit, over, sound, _write_sentence(by_name, over, audited=audited))


def _write_sentence(by_name: dict[str, float], over: tuple[str, ...], *, audited: bool) -> str:
    lacks = [
        f"{_write_percent(by_name[name])} at the {place_name}"
        for name, place_name in (("activation", "activations"), ("parameter", "stage parameters"))
        if name in over
    ]
    clauses = []
    if lacks:
        clauses.append(
            f"the gradient of the buckets lacks {' and '.join(lacks)}: "
            + (
                f"a term of the loss is outside the known rows (values lack "
                f"{_write_percent(by_name['loss'])}), such as a penalty computed in the detector "
                "or a functional loss"
                if "loss" in over
                else "a term whose value is zero or small but whose gradient is not is outside the "
                "known rows, or a second forward pass, a compiled stage or a checkpoint hides a "
                "part of the graph"
            )
        )
    elif "loss" in over:
        clauses.append(
            f"the values of the buckets lack {_write_percent(by_name['loss'])} of the loss"
            + (
                ", their gradients nothing: some loss is no sum over its rows (as GHM's), or has a "
                "part without a gradient at the stages"
                if audited
                else ", and this sample's gradients were not audited"
            )
        )
    if "routes" in over:
        clauses.append(
            f"the routes lack {_write_percent(by_name['routes'])} of a bucket's gradient: a "
            "stage's output is changed in place, or read where the graph does not show it"
        )
    return "; ".join(clauses)


def _write_percent(value: float) -> str:
    """A relative residual as set in a sentence.

    >>> _write_percent(1.27), _write_percent(3e-5)
    ('127 %', '0.003 %')
    """
    return f"{100 * value:.3g} %"
