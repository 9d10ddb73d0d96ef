"""An attribution as a picture: the levels' maps over the image, on one color scale."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle


def draw_over_image(
    cells: Mapping[str, npt.NDArray[np.float64]],
    shares: Sequence[float],
    *,
    picture: npt.NDArray[Any] | None,
    box: Sequence[float],
    title: str,
) -> Figure:
    """Draw what speaks for a class (red) and against it (blue), a panel for each level.

    Args:
        cells: Attribution of every cell by level, (H, W), signed.
        shares: Of each level, in [0, 1].
        picture: The image, (H, W, 3), or None.
        box: x0, y0, x1, y1 in pixels of the picture; NaN draws none.
        title: Above the image.
    """
    limit = max(float(np.abs(values).max()) for values in cells.values()) or 1.0
    figure = Figure(figsize=(2 * (1 + len(cells)), 2.5), layout="constrained", facecolor="white")
    axes = figure.subplots(1, 1 + len(cells))
    height, width = (1, 1) if picture is None else picture.shape[:2]
    x0, y0, x1, y1 = box
    for ax in axes:
        if picture is not None:
            ax.imshow(picture, alpha=1.0 if ax is axes[0] else 0.35)
            if x0 == x0:  # a bucket has no single box
                corners = (x0, y0), x1 - x0, y1 - y0
                ax.add_patch(Rectangle(*corners, fill=False, edgecolor="black", linewidth=1.4))
        ax.set(xticks=[], yticks=[])
    axes[0].set_title(title, fontsize=9)
    for ax, (level, values), share in zip(axes[1:], cells.items(), shares, strict=True):
        ax.imshow(
            values, vmin=-limit, vmax=limit, cmap="RdBu_r", alpha=0.75,
            extent=(0, width, height, 0), interpolation="nearest",
        )  # fmt: skip
        ax.set_title(f"{level}: {100 * share:.0f} %", fontsize=9)
    return figure
