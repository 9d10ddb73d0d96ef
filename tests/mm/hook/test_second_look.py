"""What a second look in float32 means for the samples after it, without a training."""

from typing import Any

import pytest
from torch import nn

from fpnprobe.mm.hook import second_look
from fpnprobe.mm.hook.probe_hook import GradientProbeHook
from fpnprobe.mm.hook.second_look import SecondLook
from fpnprobe.probing.probe import Probe
from fpnprobe.probing.sample import Residuals, Sample
from fpnprobe.probing.soundness.counter import Soundness
from fpnprobe.scales import COCO_BUCKETS

IN_TOLERANCE = Residuals(loss=1e-7, activation=5e-3, parameter=5e-3)


def review(look: SecondLook, residuals: Residuals, arithmetic: str = "bfloat16") -> Sample:
    model = nn.Identity()
    with look.remembered(model):
        model(0)
    verdict = residuals.judge(arithmetic)
    return look.review(model, Sample(0, 0, 1.0, {}, (), (), residuals, True, verdict))


@pytest.fixture
def measured_again(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Types of the second looks, at each of which 1 % of the gradient is missing."""
    types: list[Any] = []

    def lacks_a_term(_model: Any, _step: Any, dtype: Any, *_: Any) -> Residuals:
        types.append(dtype)
        return Residuals(loss=1e-7, activation=0.01, parameter=0.01)

    monkeypatch.setattr(second_look, "measure_again", lacks_a_term)
    return types


@pytest.mark.parametrize("later", [IN_TOLERANCE, Residuals(loss=0.5, activation=5e-3)])
def test_a_failed_proof_condemns_the_later_samples(
    measured_again: list[Any], later: Residuals
) -> None:
    look = SecondLook(Probe("full"), COCO_BUCKETS)
    first = review(look, IN_TOLERANCE)
    looks = len(measured_again)
    second = review(look, later)
    assert not first.sound and not second.sound
    assert "measured again in float32" in second.verdict.sentence
    assert len(measured_again) == looks  # what is known is not measured again
    assert review(look, Residuals(loss=1e-7, activation=1e-7), "float32").sound


def test_a_resumed_training_condemns_them_too(measured_again: list[Any]) -> None:
    before, after = GradientProbeHook(), GradientProbeHook()
    review(SecondLook(Probe(), COCO_BUCKETS, soundness=before.account.soundness), IN_TOLERANCE)
    after.load_state_dict(before.state_dict())
    assert after.summary()["proof"] == before.summary()["proof"]
    measured_again.clear()
    look = SecondLook(Probe(), COCO_BUCKETS, soundness=after.account.soundness)
    assert not review(look, IN_TOLERANCE).sound
    assert not measured_again


def test_a_proof_that_cannot_be_made_condemns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Residuals:
        raise RuntimeError("cannot be copied")

    monkeypatch.setattr(second_look, "measure_again", fail)
    soundness = Soundness()
    look = SecondLook(Probe(), COCO_BUCKETS, soundness=soundness)
    assert [review(look, IN_TOLERANCE).sound for _ in range(2)] == [True, True]
    assert soundness.proof is not None and soundness.proof["reason"] == "cannot be copied"


def test_values_that_do_not_split_are_no_proof(
    monkeypatch: pytest.MonkeyPatch, measured_again: list[Any]
) -> None:
    values_alone = Residuals(loss=0.5, activation=5e-3, parameter=5e-3)
    assert not review(SecondLook(Probe("full"), COCO_BUCKETS), values_alone).sound
    assert measured_again

    holds = Residuals(loss=0.5, activation=1e-7, parameter=1e-7)
    monkeypatch.setattr(second_look, "measure_again", lambda *_: holds)
    soundness = Soundness()
    look = SecondLook(Probe("full"), COCO_BUCKETS, soundness=soundness)
    assert [review(look, values_alone).sound for _ in range(2)] == [True, True]
    assert soundness.proof is not None and soundness.proof["holds"]


def test_a_resumed_training_knows_what_rounding_is(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Any] = []

    def holds(_model: Any, _step: Any, dtype: Any, *_: Any) -> Residuals:
        looks.append(dtype)
        return Residuals(loss=1e-9, activation=1e-9, parameter=1e-9)

    monkeypatch.setattr(second_look, "measure_again", holds)
    before, after = GradientProbeHook(), GradientProbeHook()
    rounded = Residuals(loss=1e-7, activation=3e-5, parameter=3e-5)
    look = SecondLook(Probe("full"), COCO_BUCKETS, soundness=before.account.soundness)
    assert review(look, rounded, "float32").sound and len(looks) == 1
    after.load_state_dict(before.state_dict())
    resumed = SecondLook(Probe("full"), COCO_BUCKETS, soundness=after.account.soundness)
    assert review(resumed, rounded, "float32").sound and len(looks) == 1
    assert after.account.soundness.looks == 1
