"""The paper's two explanations as predictions about interventions, judged by a written rule."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fpnprobe.evidence.controls import Intervened
from fpnprobe.evidence.finished_cells import read_comparison, read_study
from fpnprobe.evidence.verdicts import Verdict, find_difference, judge_difference

RULE = (
    "An explanation says what a change of the backward pass alone must do to AP. The change is "
    "compared with its untouched twin, seed by seed, on the same images; the 95 % interval is a "
    "hierarchical bootstrap over seeds and validation images. 'reproduced': the interval excludes "
    "0 on the predicted side; 'contradicted': it excludes 0 on the other side; 'undecided': it "
    "holds 0, or there is one seed only; 'not run': the study lacks the intervention, its twin or "
    "the metric. A verdict is about this study's detector, data and schedule."
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """An explanation that the paper gives, and the effect that an intervention must then have.

    Attributes:
        statement: The explanation, as a sentence.
        intervention: Ready-made intervention that tests it.
        metric: What must change.
        sign: To which side, +1 or -1.
    """

    statement: str
    intervention: str
    metric: str
    sign: int

    @property
    def prediction(self) -> str:
        """The consequence that is tested.

        >>> EXPLANATIONS[0].prediction
        'cut-direct lowers AP'
        """
        return f"{self.intervention} {'raises' if self.sign > 0 else 'lowers'} {self.metric}"


EXPLANATIONS = (
    Explanation("FPN works because it shortens back-propagation", "cut-direct", "AP", -1),
    Explanation("Small-only direct signals suppress AP_L", "no-small-direct", "AP_L", +1),
)


@dataclass(frozen=True, slots=True)
class Cause:
    """The verdict on one explanation; differences in AP points, NaN where not run.

    `difference` is the intervention's AP minus its control's (`twin`); `covers` names the sources.
    """

    statement: str
    prediction: str
    variant: str
    twin: str
    metric: str
    difference: float
    low: float
    high: float
    covers: str
    seeds: int
    verdict: Verdict
    note: str

    def as_json(self) -> dict[str, Any]:
        """Return plain values, NaN as None."""
        return {k: None if v != v else v for k, v in asdict(self).items()}


def judge(study_dir: str | Path) -> list[Cause]:
    """Judge both explanations by the study's evidence, for each pyramid that they were tested on.

    Raises:
        FpnProbeError: If the folder is not a study's output or its evidence cannot be read.
    """
    study = read_study(study_dir)
    table = read_comparison(study, study.iou_type)
    changed = study.intervened()
    return [
        cause
        for explanation in EXPLANATIONS
        for cause in _judge_explanation(explanation, changed, table)
    ]


def _judge_explanation(
    explanation: Explanation, changed: Sequence[Intervened], table: pd.DataFrame
) -> list[Cause]:
    tests = [entry for entry in changed if entry.is_ready_made(explanation.intervention)]
    if not tests:
        return [_make_cause(explanation, note=f"the study has no {explanation.intervention}")]
    return [_judge_test(explanation, entry, table) for entry in tests]


def _judge_test(explanation: Explanation, test: Intervened, table: pd.DataFrame) -> Cause:
    about = {"variant": test.variant, "twin": test.twin}
    if not test.twin:
        return _make_cause(explanation, **about, note="the study has no untouched twin")
    measured = find_difference(
        table, variant=test.variant, baseline=test.twin, metric=explanation.metric
    )
    if measured is None:
        note = f"no finished cells of {test.variant} and {test.twin}"
        return _make_cause(explanation, **about, note=note)
    verdict, note = judge_difference(
        measured, predicted=explanation.sign, metric=explanation.metric
    )
    return _make_cause(explanation, **about, **asdict(measured), verdict=verdict, note=note)


def _make_cause(explanation: Explanation, **fields: Any) -> Cause:
    nan = float("nan")
    empty: dict[str, Any] = {
        "variant": "", "twin": "", "difference": nan, "low": nan, "high": nan, "covers": "",
        "seeds": 0, "verdict": "not run", "note": "",
    }  # fmt: skip
    return Cause(
        statement=explanation.statement,
        prediction=explanation.prediction,
        metric=explanation.metric,
        **{**empty, **fields},
    )
