"""The table of route cosines: do the direct and the deeper gradient of a size agree?"""

from fpnprobe.figures.columns import largest
from fpnprobe.report.page.content import Block, Table
from fpnprobe.report.tables.stored import Stored


def table(stored: Stored) -> list[Block]:
    """The mean cosine over seeds by variant, stage and size; nothing where none is known."""
    cosines = stored.gradients.route_cosines
    if cosines.empty:
        return []
    sizes = [name for name in stored.buckets if name in set(cosines["bucket"])]
    cosines = cosines[cosines["tap"].str.fullmatch(r"C\d+") & cosines["bucket"].isin(sizes)]
    if cosines.empty:
        return []
    cosines = (
        cosines.groupby(["variant", "tap", "bucket"], sort=False)["cosine"].mean().reset_index()
    )
    worst = largest(cosines.assign(against=-cosines["cosine"]), "against")
    wide = cosines.pivot_table(
        index=["variant", "tap"], columns="bucket", values="cosine", sort=False
    )
    wide = wide.reindex(columns=sizes).reset_index()
    return [
        Table(
            "route-cosines",
            "Do the two routes of a size agree?",
            f"The lowest cosine is that of {worst.bucket} objects at {worst.tap} of "
            f"{worst.variant}: {_write_signed(worst.cosine)}. It is the cosine between the "
            "gradient that comes directly and the one through deeper stages: 1, they add up; 0, "
            "they have nothing in common; −1, they cancel. It follows from the lengths of both "
            "and of their sum, over all samples; mean over seeds. Stages with an auxiliary head "
            "have a third route and are left out.",
            wide,
            headers={"variant": "variant", "tap": "stage", **{size: size for size in sizes}},
            formats=dict.fromkeys(sizes, "{:+.2f}"),
        )
    ]


def _write_signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
