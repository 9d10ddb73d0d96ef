"""What a failed proof in float32 means for the later samples of a run, resumed or not."""

import json

import pytest

from fpnprobe.probing.sample import Residuals, Sample
from fpnprobe.probing.soundness.counter import Soundness

LACKING = Residuals(loss=1e-7, activation=0.01, parameter=0.01)


def sample_of(arithmetic: str, *, finite: bool = True) -> Sample:
    residuals = Residuals(loss=1e-7, activation=1e-7)
    verdict = residuals.judge(arithmetic)
    return Sample(0, 0, 1.0, {}, (), (), residuals, finite, verdict)


@pytest.mark.parametrize("arithmetic", ["bfloat16", "float16", "tf32"])
def test_a_failed_proof_disproves_samples_of_reduced_precision(arithmetic: str) -> None:
    soundness = Soundness()
    assert not soundness.disproves(sample_of(arithmetic))
    first = soundness.prove(sample_of(arithmetic), LACKING)
    assert soundness.disproves(sample_of(arithmetic))
    later = soundness.condemn(sample_of(arithmetic))
    assert not first.sound and not later.sound
    assert first.verdict.sentence == later.verdict.sentence
    assert "does not hold: the gradient of the buckets lacks 1 %" in later.verdict.sentence
    assert not soundness.disproves(sample_of("float32"))
    assert not soundness.disproves(sample_of(arithmetic, finite=False))


def test_a_proof_that_holds_disproves_nothing() -> None:
    soundness = Soundness()
    assert soundness.prove(sample_of("bfloat16"), Residuals(activation=1e-7)).sound
    assert not soundness.disproves(sample_of("bfloat16"))


def test_a_resumed_run_knows_its_proof_and_its_arithmetic() -> None:
    before, after = Soundness(), Soundness()
    before.add(before.prove(sample_of("bfloat16"), LACKING))
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    assert after.disproves(sample_of("bfloat16"))
    told = after.summary()
    assert told == before.summary()
    assert (told["arithmetic"], told["proof"]["holds"]) == ("bfloat16", False)


def test_a_state_from_before_the_proof_was_kept_is_proven_anew() -> None:
    state = Soundness().state_dict()
    del state["proof"], state["arithmetic"]
    resumed = Soundness()
    resumed.load_state_dict(state)
    assert resumed.proof is None and resumed.arithmetic == ""
