"""An attribution as a picture: the levels' maps over the image, on one color scale."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fpnprobe.errors import FpnProbeError

if TYPE_CHECKING:
    from fpnprobe.mm.inspect.attribution.explain import Attribution


def plot(found: "Attribution", number: int) -> Figure:
    """Draw one target of an attribution; see `Attribution.plot`.

    Raises:
        FpnProbeError: if there is no target of that number.
    """
    if not 0 <= number < len(found.targets):
        raise FpnProbeError(
            f"no target {number} in image {found.image_id}: expected 0 to {len(found.targets) - 1}"
        )
    target, cells = found.targets[number], found.cells(number)
    shares = found.maps.shares()[number].tolist()
    limit = max(float(np.abs(values).max()) for values in cells.values()) or 1.0
    figure = Figure(figsize=(2 * (1 + len(cells)), 2.5), layout="constrained", facecolor="white")
    axes = figure.subplots(1, 1 + len(cells))
    height, width = (1, 1) if found.picture is None else found.picture.shape[:2]
    x0, y0, x1, y1 = (float(v) for v in target.box)
    for ax in axes:
        if found.picture is not None:
            ax.imshow(found.picture, alpha=1.0 if ax is axes[0] else 0.35)
        if x0 == x0 and found.picture is not None:  # a bucket has no single box
            ax.add_patch(
                Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="black", linewidth=1.4)
            )
        ax.set(xticks=[], yticks=[])
    label = found._details(target)["label"]
    score = f", score {target.score:.2f}" if target.score == target.score else ""
    axes[0].set_title(f"{target.kind} {target.index}: {label}{score}", fontsize=9)
    for ax, (level, values), share in zip(axes[1:], cells.items(), shares, strict=True):
        ax.imshow(
            values, vmin=-limit, vmax=limit, cmap="RdBu_r", alpha=0.75,
            extent=(0, width, height, 0), interpolation="nearest",
        )  # fmt: skip
        ax.set_title(f"{level}: {100 * share:.0f} %", fontsize=9)
    return figure
