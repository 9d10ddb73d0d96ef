"""The table of update shares: is a size's part of the step its part of the gradient?"""

import pandas as pd

from fpnprobe.figures.columns import largest
from fpnprobe.figures.wording import signed
from fpnprobe.report.page.content import Block, Table
from fpnprobe.report.tables.gradient_shares import objects
from fpnprobe.report.tables.stored import Stored

_NAMES = {"parameter": "gradient", "update": "step"}


def table(stored: Stored) -> list[Block]:
    """Both shares by variant, stage and size; nothing where no optimizer of Adam's kind trained."""
    shares = pd.concat(
        [_select_shares(stored, kind).assign(part=name) for kind, name in _NAMES.items()],
        ignore_index=True,
    )
    if "step" not in set(shares["part"]):
        return []
    wide = shares.pivot_table(
        index=["variant", "tap", "part"], columns="bucket", values="share", sort=False
    )
    sizes = [name for name in stored.buckets if name in wide.columns]
    wide = wide.reindex(columns=sizes)
    moved = (
        shares.pivot_table(index=["variant", "tap", "bucket"], columns="part", values="share")
        .dropna()
        .reset_index()
    )
    moved["moved"] = moved["step"] - moved["gradient"]
    most = largest(moved.assign(far=moved["moved"].abs()), "far")
    wide = (100 * wide).reset_index()
    order = {name: at for at, name in enumerate(stored.variants)}
    wide = wide.sort_values(
        ["variant", "tap"], key=lambda column: column.map(lambda name: order.get(name, name))
    )
    return [
        Table(
            "update-shares",
            "Shares of the step",
            "An optimizer of Adam's kind divides each element of the gradient by its usual size, "
            "so a size's share of the step, lr g / (√v + ε), is not its share of the gradient. "
            f"They differ most for {most.bucket} objects at {most.tap} of {most.variant}: by "
            f"{signed(100 * most.moved, 0)} points. Both are of the squared norm at the stage's "
            "parameters, among objects, percent, mean over the samples of the training and seeds.",
            wide,
            headers={
                "variant": "variant",
                "tap": "stage",
                "part": "of the",
                **{size: f"{size}, %" for size in sizes},
            },
            formats=dict.fromkeys(sizes, "{:.0f}"),
        )
    ]


def _select_shares(stored: Stored, kind: str) -> pd.DataFrame:
    shares = objects(stored, kind=kind, training=True)
    whole = (shares["term"] == "all") & (shares["route"] == "total")
    return shares[whole & shares["share"].notna()]
