"""Each rule against ledgers made so that the answer is known."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from fpnprobe.evidence.diagnosis import ORDER, diagnose, headline
from fpnprobe.evidence.findings import Finding
from fpnprobe.evidence.rules import RULES
from fpnprobe.ledger import ConflictRecord, GradientRecord, Ledger

BUCKETS = ("small", "medium", "large")
EVEN = (1.0, 1.0, 1.0)
# l2 of small, medium and large by stage and route
Routes = Mapping[str, Mapping[str, Sequence[float]]]


def ledger(
    routes: Routes,
    *,
    samples: int = 12,
    state: str = "measured",
    cosine: float | None = None,
    frozen: Sequence[str] = (),
    absent: Sequence[str] = (),
) -> Ledger:
    rows: list[GradientRecord] = []
    conflicts: list[ConflictRecord] = []
    shared: dict[str, Any] = {"epoch": 0, "kind": "activation", "term": "all", "share": 0.0}
    for iteration in range(samples):
        noise = 1 + 0.05 * (iteration % 3)
        for tap, parts in routes.items():
            for route, norms in parts.items():
                for bucket, l2 in zip(BUCKETS, norms, strict=True):
                    rows.append(
                        GradientRecord(
                            iteration=iteration, tap=tap, level=int(tap[1:]), route=route,
                            bucket=bucket, l2=l2 * noise, n_objects=2 * (bucket not in absent),
                            n_rows=2, state=state,
                            **shared,
                        )
                    )  # fmt: skip
            if cosine is not None:
                conflicts.append(
                    ConflictRecord(
                        iteration=iteration, tap=tap, kind="parameter", bucket_a="small",
                        bucket_b="large", cosine=cosine + 0.01 * (iteration % 3),
                    )
                )  # fmt: skip
        rows += [
            GradientRecord(
                iteration=iteration, tap=tap, level=int(tap[1:]), route="total", bucket="all",
                l2=float("nan"), n_objects=2, n_rows=2, state="frozen", **shared,
            )
            for tap in frozen
        ]  # fmt: skip
    return Ledger.of(rows, conflicts, variant="FPN")


def one(rule: str, *ledgers: Ledger) -> Finding:
    return next(f for f in diagnose({"FPN": ledgers}, buckets=BUCKETS) if f.rule == rule)


def stage(direct: Sequence[float], deeper: Sequence[float] = EVEN, cosine: float = 0.0) -> Any:
    total = [
        (a * a + b * b + 2 * cosine * a * b) ** 0.5 for a, b in zip(direct, deeper, strict=True)
    ]
    return {"direct": direct, "deeper": deeper, "total": total}


HEALTHY = {"C2": stage(EVEN), "C3": stage(EVEN)}


def test_nothing_is_found_in_a_healthy_ledger() -> None:
    found = diagnose({"FPN": [ledger(HEALTHY, cosine=0.3)]}, buckets=BUCKETS)
    verdicts = {f.rule: f.verdict for f in found}
    assert verdicts.pop("auxiliary") == "not measured"
    assert set(verdicts.values()) == {"clear"}
    assert set(verdicts) | {"auxiliary"} == set(ORDER)
    assert len(found) == len(RULES)
    assert headline(found).startswith("No rule is found: nothing that was measured")


def test_a_stage_that_hears_large_objects_through_deeper_stages_alone() -> None:
    found = one("direct-share", ledger({**HEALTHY, "C2": stage((3.0, 1.0, 0.1))}))
    assert (found.verdict, found.stage) == ("found", "C2")
    assert found.value == pytest.approx(0.01 / 10.01)
    assert found.low <= found.value <= found.high < 0.05
    said = headline(diagnose({"FPN": [ledger({"C2": stage((3.0, 1.0, 0.1))})]}, buckets=BUCKETS))
    assert said.startswith("C2 of FPN hears large objects through deeper stages alone")
    assert "fpnprobe run-study own --variants FPN,FPN-CFG1" in said
    assert "because" not in said


@pytest.mark.parametrize(
    ("rule", "routes", "options", "at"),
    [
        ("index", {"C2": stage((5.0, 0.2, 0.2)), "C3": stage(EVEN)}, {}, "C2"),
        ("cancellation", {"C2": stage(EVEN, EVEN, -0.5), "C3": stage(EVEN)}, {}, "C2"),
        ("conflict", HEALTHY, {"cosine": -0.4}, "C2"),
        ("starving", {"C2": stage(EVEN), "C3": {"total": (0.01, 0.01, 0.01)}}, {}, "C3"),
        ("frozen", HEALTHY, {"frozen": ["C1"]}, "C1"),
        ("soundness", HEALTHY, {"state": "unsound"}, ""),
    ],
)
def test_each_rule_is_found_where_it_should_be(
    rule: str, routes: Routes, options: Any, at: str
) -> None:
    found = one(rule, ledger(routes, **options))
    assert (found.verdict, found.stage) == ("found", at)
    assert found.advice
    assert found.to_data()["rule"] == rule


def test_an_auxiliary_loss_that_drowns_small_objects() -> None:
    loud = {"direct": (1.0, 0.1, 0.1), "deeper": (0.1, 0.1, 0.1), "auxiliary": (0.1, 5.0, 9.0)}
    loud["total"] = (1.0, 5.0, 9.0)
    assert one("auxiliary", ledger({"C2": loud})).verdict == "found"
    quiet = {**loud, "auxiliary": (0.1, 0.2, 0.2)}
    assert one("auxiliary", ledger({"C2": quiet})).verdict == "clear"


def test_few_samples_decide_nothing() -> None:
    found = one("direct-share", ledger({"C2": stage((3.0, 1.0, 0.1))}, samples=3))
    assert found.verdict == "undecided"
    both = ledger({"C2": stage((3.0, 1.0, 0.1))}, samples=3)
    assert one("direct-share", both, both).verdict == "found"  # the seeds' samples are one pool


def test_too_few_samples_are_named_and_one_has_no_interval() -> None:
    for samples, words in ((1, "1 sample, 5 needed"), (2, "2 samples, 5 needed")):
        findings = diagnose({"FPN": [ledger(HEALTHY, samples=samples)]}, buckets=BUCKETS)
        undecided = [finding for finding in findings if finding.verdict == "undecided"]
        assert undecided and {finding.shortage for finding in undecided} == {words}
        assert {finding.low == finding.low for finding in undecided} == {samples > 1}
        assert not any("nan" in finding.sentence for finding in findings)
        assert headline(findings).endswith(f"undecided: {words}.")
    assert one("index", ledger(HEALTHY, samples=5)).shortage == ""


def test_a_size_without_any_object_is_no_small_share() -> None:
    found = one("direct-share", ledger({"C2": stage((3.0, 1.0, 0.0))}, absent=["large"]))
    assert (found.verdict, found.sentence) == ("not measured", "no sample holds a large object")


def test_unsound_samples_are_used_by_no_other_rule() -> None:
    found = diagnose({"FPN": [ledger(HEALTHY, state="unsound")]}, buckets=BUCKETS)
    assert {f.verdict for f in found if f.rule not in ("soundness", "frozen")} == {"not measured"}
    assert headline(found).startswith("12 of 12 samples of FPN do not hold their sums")


def test_resamples_without_any_gradient_decide_nothing() -> None:
    """Gradients that float16 lost are 0 in most samples: a resample may have drawn those alone."""
    lost = {"C2": {"direct": (0.0, 0.0, 0.0), "total": (0.0, 0.0, 0.0)}}
    seen = [ledger(lost, samples=5), ledger({"C2": stage((3.0, 1.0, 0.1))}, samples=1)]
    assert one("direct-share", *seen).verdict == "found"


def test_an_empty_ledger_is_not_measured() -> None:
    found = diagnose({"FPN": [Ledger.of([])]}, buckets=BUCKETS)
    assert {f.verdict for f in found} == {"not measured"}


def test_a_stage_where_gradients_only_would_arrive_is_frozen() -> None:
    """The probe measures what would reach a frozen stage: that it is measured trains nothing."""
    found = one("frozen", ledger(HEALTHY, state="would_arrive"))
    assert found.verdict == "found"
    assert found.stage == ", ".join(sorted(HEALTHY))
