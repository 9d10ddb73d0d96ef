"""Does what goes with AP in the first study of a report foretell the variants of the others?"""

from typing import Any

from fpnprobe.evidence.held_back import predict_held_back
from fpnprobe.figures.columns import rows
from fpnprobe.figures.wording import with_minus
from fpnprobe.report.page.content import Block, Table
from fpnprobe.report.sections.gradients.measures import LEDGERS, stage_measures
from fpnprobe.report.tables.stored import Stored

_HEADERS = {
    "tested": "in", "ledger": "gradient of", "measure": "measure", "tap": "stage",
    "route": "route", "metric": "foretells", "variants": "variants fitted",
    "held_back": "foretold", "rho": "rho, fitted", "rho_held_back": "rho, foretold",
    "skill": "skill", "low": "from", "high": "to",
}  # fmt: skip
_NUMBERS = ("rho", "rho_held_back", "skill", "low", "high")


def table(stored: Stored) -> list[Block]:
    """The predictions of a report of several studies; nothing where none can be made."""
    points = stored.evidence.get("association_points")
    if points is None or points.empty or len(set(points["study"])) < 2:
        return []
    names = {cell.variant: cell.name for cell in stored.cells}
    points = stage_measures(points, stored)
    order = {study["name"]: at for at, study in enumerate(stored.studies)}
    points = points.assign(name=points["variant"].map(names)).sort_values(
        "study", key=lambda column: column.map(order), kind="stable"
    )
    predictions = predict_held_back(points)
    if predictions.empty:
        return []
    sentence = " ".join(
        _write_sentence(row, stored) for row in rows(predictions[predictions["chosen"]])
    )
    frame = predictions.sort_values("chosen", ascending=False, kind="stable").assign(
        ledger=predictions["ledger"].map(LEDGERS),
        metric=predictions["metric"].map(stored.name_metric) + " change",
    )  # fmt: skip
    chosen_measures = int(predictions["chosen"].sum())
    return [
        Table(
            "held-back",
            f"Does what holds in {predictions['fitted'].iloc[0]} foretell other results?",
            f"{sentence} Each metric's measure was chosen by the clearest rank correlation over "
            f"the variants of {predictions['fitted'].iloc[0]} alone, and a line fitted to them. "
            "Skill: 1, the line foretells the others; 0, no better than the better of two "
            "constants, the mean change of the fitted ones and no change at all; below 0, it "
            "misleads. 95 % intervals over the variants foretold.",
            frame[list(_HEADERS)].reset_index(drop=True),
            _HEADERS,
            dict.fromkeys(_NUMBERS, "{:.2f}"),
            rest="Measures that were not chosen" if len(frame) > chosen_measures else "",
            shown=chosen_measures,
        )
    ]


def _write_sentence(row: Any, stored: Stored) -> str:
    verdict = "it foretells them" if row.low > 0 else "it misleads" if row.high < 0 else "undecided"
    sentence = stored.add_bounds(
        f"{row.metric} of the {row.held_back} variants "
        f"{f'that only {row.tested} has' if row.fresh else f'of {row.tested}'}, from the "
        f"{row.measure} at {row.tap} ({row.route}, {LEDGERS[row.ledger]}): skill {row.skill:.2f} "
        f"({row.low:.2f} to {row.high:.2f}), {verdict}."
    )
    return with_minus(sentence)
