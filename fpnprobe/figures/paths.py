"""Figure 2 of the paper, measured: the ways by which a gradient reaches C2..C5, by bucket."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, PathPatch, Rectangle
from matplotlib.path import Path

from fpnprobe.figures.columns import require, rows
from fpnprobe.figures.palette import INK, LINE, MUTED, bucket_color
from fpnprobe.figures.svg import mark

COLUMNS = ("variant", "tap", "route", "bucket", "source", "l2", "part")
_PITCH, _BOX, _C, _P = 2.3, 1.3, (1.9, 3.6), (7.8, 9.9)
_WIDTH = 1.12  # of all ribbons into a stage together
_TIP = 0.22


def parts(table: pd.DataFrame) -> pd.DataFrame:
    """Add `part`: a squared norm over the sum of those that arrive at its stage, in [0, 1].

    The parts into one stage add up to 1 over routes, buckets and sources, so a ribbon's width says
    how much of the stage's gradient it carries; stages are not compared with each other. Within
    a route, the parts of the buckets stand as the shares of `gradient_shares` do: where a direct
    gradient is told apart by source level, its levels divide the bucket's whole (`source` "").

    Args:
        table: Variant, tap, route, bucket, source, l2; the whole of each route and, if there are
            any, its rows by source.
    """
    keys = ["variant", "tap", "route", "bucket"]
    square = table["l2"].fillna(0.0) ** 2
    by_source = table["source"] != ""
    whole = square.where(~by_source, 0.0).groupby([table[k] for k in keys]).transform("sum")
    levels = square.where(by_source, 0.0).groupby([table[k] for k in keys]).transform("sum")
    square = square.where(~by_source, whole * square / levels.where(levels > 0)).fillna(0.0)
    table, square = table[by_source | (levels == 0)], square[by_source | (levels == 0)]
    total = square.groupby([table["variant"], table["tap"]]).transform("sum")
    return table.assign(part=(square / total.where(total > 0)).fillna(0.0))


def draw(table: pd.DataFrame, ax: Axes, *, levels: pd.DataFrame) -> Axes:
    """Draw one variant: stages left, levels right, a ribbon per route, source and bucket.

    Args:
        table: One variant, from `parts`; routes `direct`, `auxiliary`, `deeper`; `source` is the
            level whose loss a direct gradient comes from (`P2`..), or "" where it was not told
            apart.
        ax: Where to draw.
        levels: `tap`, `bucket`, `share` at the pyramid's levels, may be empty.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    require(levels, ("tap", "bucket", "share"))
    stages = sorted(set(table["tap"]))
    buckets = list(dict.fromkeys(table["bucket"]))
    height = {tap: 0.9 + _PITCH * at for at, tap in enumerate(stages)}
    direct = table[(table["route"] == "direct") & (table["part"] > 0)]
    if levels.empty and len(direct):
        _draw_box(ax, "head", _P, height[max(direct["tap"])])
    sources = sorted(set(table["source"]) - {""} | set(levels["tap"]))
    height_of_source = {name: height.get(f"C{name[1:]}", height[stages[-1]]) for name in sources}
    for tap in stages:
        _draw_box(ax, tap, _C, height[tap])
        if not (table[table["tap"] == tap]["part"] > 0).any():
            ax.text(
                sum(_C) / 2, height[tap] - 0.42, "no gradient", ha="center", va="center_baseline",
                fontsize=9, color=MUTED, zorder=3,
            )  # fmt: skip
        _draw_routes(ax, table[table["tap"] == tap], buckets, height, height_of_source)
    for name in sources:
        if f"C{name[1:]}" in height:
            _draw_box(ax, name, _P, height_of_source[name])
            _draw_stack(ax, levels[levels["tap"] == name], buckets, height_of_source[name])
    ax.set(xlim=(-0.1, 10), ylim=(0, 0.9 + _PITCH * (len(stages) - 1) + 1.1))
    ax.set_aspect("equal", anchor="W")
    ax.axis("off")
    return ax


def _draw_routes(
    ax: Axes,
    table: pd.DataFrame,
    buckets: list[str],
    height: dict[str, float],
    height_of_source: dict[str, float],
) -> None:
    y = height[table["tap"].iloc[0]]
    tap = table["tap"].iloc[0]
    table = table[table["part"] > 0]  # a route that carries nothing is no way
    direct = table[table["route"] == "direct"].sort_values("source", ascending=False)
    top = y + _WIDTH * direct["part"].sum() / 2
    for row in rows(direct):
        width = _WIDTH * row.part
        start = height_of_source.get(row.source, height_of_source.get(f"P{tap[1:]}", y))
        order = (len(height) - int(tap[1:]) + 1) / len(height) - 0.5
        shift = 0.0 if start == y and not row.source else -order * 0.7
        end = top - width / 2
        _draw_ribbon(ax, (_P[0], start + (shift or end - y)), (_C[1], end), width, row, buckets)
        top -= width
    _write_label(ax, direct, "direct", (_C[1] + 0.15, y + _WIDTH * direct["part"].sum() / 2 + 0.07))
    auxiliary = table[table["route"] == "auxiliary"]
    top = y + _WIDTH * auxiliary["part"].sum() / 2
    for row in rows(auxiliary):
        width = _WIDTH * row.part
        _draw_ribbon(ax, (0.75, top - width / 2), (_C[0], top - width / 2), width, row, buckets)
        top -= width
    if len(auxiliary):
        ax.text(0.7, y, "aux", ha="right", va="center_baseline", color=MUTED, fontsize=9.5)
        _write_label(ax, auxiliary, "", (1.25, y + _WIDTH * auxiliary["part"].sum() / 2 + 0.05))
    deeper = table[table["route"] == "deeper"]
    left = sum(_C) / 2 - _WIDTH * deeper["part"].sum() / 2
    for row in rows(deeper):
        width = _WIDTH * row.part
        x = left + width / 2
        _draw_downward(ax, x, y + _PITCH - _BOX / 2, y + _BOX / 2, width, row, buckets)
        left += width
    if len(deeper):
        text = f"deeper {100 * deeper['part'].sum():.0f} %"
        ax.text(
            sum(_C) / 2 + _WIDTH * deeper["part"].sum() / 2 + 0.14, y + _PITCH / 2, text,
            va="center_baseline", color=MUTED, fontsize=9.5,
        )  # fmt: skip


def _write_label(ax: Axes, table: pd.DataFrame, name: str, at: tuple[float, float]) -> None:
    if len(table):
        text = f"{name} {100 * table['part'].sum():.0f} %".strip()
        left = "left" if name else "center"
        ax.text(*at, text, ha=left, va="bottom", color=MUTED, fontsize=9.5)


def _describe_row(row: object) -> str:
    source = f" from {row.source}" if row.source else ""  # type: ignore[attr-defined]
    return (
        f"{row.variant}, {row.tap} {row.route}{source}, {row.bucket}: "  # type: ignore[attr-defined]
        f"{100 * row.part:.1f} % of the stage, norm {row.l2:.3g}"  # type: ignore[attr-defined]
    )


def _draw_ribbon(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    width: float,
    row: object,
    buckets: list[str],
) -> None:
    (x0, y0), (x1, y1), h = start, end, width / 2
    tip = x1 - _TIP if x0 < x1 else x1 + _TIP
    middle = (x0 + tip) / 2
    M, L, C = Path.MOVETO, Path.LINETO, Path.CURVE4
    vertices = [
        (x0, y0 + h), (middle, y0 + h), (middle, y1 + h), (tip, y1 + h), (x1, y1),
        (tip, y1 - h), (middle, y1 - h), (middle, y0 - h), (x0, y0 - h), (x0, y0 + h),
    ]  # fmt: skip
    _draw_patch(ax, Path(vertices, [M, C, C, C, L, L, C, C, C, L]), row, buckets)


def _draw_downward(
    ax: Axes, x: float, top: float, end: float, width: float, row: object, buckets: list[str]
) -> None:
    h, tip = width / 2, end + _TIP
    vertices = [(x - h, top), (x - h, tip), (x, end), (x + h, tip), (x + h, top), (x - h, top)]
    _draw_patch(ax, Path(vertices), row, buckets)


def _draw_patch(ax: Axes, path: Path, row: object, buckets: list[str]) -> None:
    color = bucket_color(row.bucket, buckets)  # type: ignore[attr-defined]
    patch = PathPatch(path, facecolor=color, linewidth=0, alpha=0.88)
    mark(patch, _describe_row(row))
    ax.add_patch(patch)


def _draw_box(ax: Axes, name: str, across: tuple[float, float], y: float) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (across[0] + 0.08, y - _BOX / 2 + 0.08), across[1] - across[0] - 0.16, _BOX - 0.16,
            boxstyle="round,pad=0.08,rounding_size=0.18", facecolor=LINE, edgecolor="none",
            zorder=2,
        )
    )  # fmt: skip
    down = 0.22 if across is _P and name != "head" else 0.0  # below it there is a bar
    ax.text(
        sum(across) / 2, y + down, name, ha="center", va="center_baseline", weight="bold",
        fontsize=12, zorder=3,
    )  # fmt: skip


def _draw_stack(ax: Axes, levels: pd.DataFrame, buckets: list[str], y: float) -> None:
    """The buckets' shares at a level, as a bar inside its box."""
    x, room = _P[0] + 0.2, _P[1] - _P[0] - 0.4
    for row in rows(levels):
        width = room * row.share if row.share == row.share else 0.0
        bar = Rectangle(
            (x, y - 0.42), width, 0.3, facecolor=bucket_color(row.bucket, buckets), linewidth=0,
            zorder=3,
        )  # fmt: skip
        mark(bar, f"{row.tap}, {row.bucket}: {100 * row.share:.1f} % of the object gradient")
        ax.add_patch(bar)
        x += width
    ax.plot([], [], color=INK)  # keeps the Axes' data limits defined when nothing was measured
