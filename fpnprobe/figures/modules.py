"""Figure 4: the modules of a variant as built, with their shapes and parameters."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from fpnprobe.figures.columns import require, rows
from fpnprobe.figures.palette import INK, LINE, MUTED
from fpnprobe.figures.svg import mark
from fpnprobe.figures.wording import short

COLUMNS = ("variant", "name", "type", "shape", "parameters")


def draw(table: pd.DataFrame, ax: Axes, *, colors: Mapping[str, str], reach: float) -> Axes:
    """Draw one variant from input to output: a block per module, a bar for its parameters.

    Args:
        table: One variant, modules in order; `shape` of the output as text, "" where unknown;
            `parameters` as a count.
        ax: Where to draw.
        colors: Of each variant, from `variant_colors`.
        reach: Most parameters of any module in the figure: full length of a bar.

    Returns:
        The same Axes.
    """
    require(table, COLUMNS)
    for at, row in enumerate(rows(table)):
        ax.add_patch(Rectangle((0, at - 0.42), 1, 0.84, facecolor=LINE, linewidth=0, alpha=0.5))
        has_parameters = row.parameters == row.parameters and reach > 0
        width = 0.3 * row.parameters / reach if has_parameters else 0.0
        color = colors[row.variant]
        bar = Rectangle((0.67, at + 0.12), width, 0.14, facecolor=color, linewidth=0)
        count = f"{row.parameters:,.0f} parameters" if has_parameters else "parameters unknown"
        mark(bar, f"{row.variant}, {row.name} ({row.type}): {row.shape or 'no shape'}, {count}")
        ax.add_patch(bar)
        ax.text(0.03, at - 0.14, short(row.name, 24), va="center_baseline", color=INK)
        ax.text(
            0.03, at + 0.2, short(f"{row.type}  {row.shape}", 36), va="center_baseline",
            fontsize=9, color=MUTED,
        )  # fmt: skip
        ax.text(
            0.975, at - 0.14, _write_count(row.parameters) if has_parameters else "–",
            va="center_baseline",
            ha="right", fontsize=10, color=INK,
        )  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(len(table) - 0.5, -0.5))
    ax.axis("off")
    return ax


def _write_count(parameters: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if parameters >= size:
            return f"{parameters / size:.1f} {letter}"
    return f"{parameters:.0f}"
