"""The figure of conflict: the cosines between the gradients of two sizes at one stage."""

from functools import partial

from fpnprobe.figures import conflict
from fpnprobe.figures.columns import largest
from fpnprobe.figures.svg import Panel
from fpnprobe.report.page.content import Block, Figure
from fpnprobe.report.tables.stored import Stored
from fpnprobe.scales import BACKGROUND


def figure(stored: Stored) -> list[Block]:
    """Draw the cosines of every pair of sizes; nothing where no stage has any."""
    table = stored.gradients.conflict
    if table.empty:
        return []
    # Where a training takes them, they are of the stage's parameters, which the sizes share.
    kind = "parameter" if (table["kind"] == "parameter").any() else "activation"
    table = table[table["kind"] == kind]
    table = table[table["tap"].str.fullmatch(r"C\d+") & (table["bucket_a"] != table["bucket_b"])]
    skip = {BACKGROUND, "all"}
    table = table[~table["bucket_a"].isin(skip) & ~table["bucket_b"].isin(skip)]
    keys = ["variant", "tap", "bucket_a", "bucket_b"]
    table = table.groupby(keys, sort=False).agg(cosine=("cosine", "mean")).reset_index()
    order = {name: at for at, name in enumerate(stored.buckets)}
    for column in ("bucket_b", "bucket_a"):
        order_of_bucket = [order.get(name, len(order)) for name in table[column]]
        table = (
            table.assign(place=order_of_bucket)
            .sort_values("place", kind="stable")
            .drop(columns="place")
        )
    if table.empty or table["cosine"].isna().all():
        return []
    worst = largest(table.assign(against=-table["cosine"]), "against")
    sentence = (
        f"The strongest conflict is between {worst.bucket_a} and {worst.bucket_b} objects "
        f"at {worst.tap} of {worst.variant} (cosine {worst.cosine:.2f})."
        if worst.cosine < -0.05
        else "No two sizes pull a stage against each other: all cosines are above −0.05."
    )
    return [
        Figure(
            "conflict",
            "Conflict between sizes",
            sentence.replace("cosine -", "cosine −") + " A cosine is that of two sizes' gradients "
            f"{'in the parameters' if kind == 'parameter' else 'at the output'} of a stage, mean "
            "over samples and seeds. Blue pairs agree, red pairs disagree; near zero, the two "
            "sizes train different directions.",
            [
                Panel(name, partial(conflict.draw, table[table["variant"] == name]))
                for name in stored.variants
                if (table["variant"] == name).any()
            ],
            table,
            height=34 * table["tap"].nunique() + 20,
            left=30,
            bottom=12,
        )
    ]
