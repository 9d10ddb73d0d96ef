"""The attribution of the targets of one image: maps, shares, table and picture."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fpnprobe.attribution.maps import Maps
from fpnprobe.attribution.table import COLUMNS, DETAILS
from fpnprobe.attribution.words import Place
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.inspect.attribution.target import Target

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Attribution:
    """The attribution of the targets of one image to stages or levels.

    Attributes:
        image_id: The image.
        targets: What was attributed.
        buckets: Scale bucket of each target; `background` for a false positive.
        maps: Attribution per level, example i is `targets[i]`.
        place: `stages` or `pyramid`.
        labels: Study, variant and seed for the table.
        picture: The image as shown to people, (H, W, 3), where it is at hand.
        classes: Names of the classes, for the table.
    """

    image_id: int
    targets: tuple[Target, ...]
    buckets: tuple[str, ...]
    maps: Maps
    place: Place
    labels: dict[str, Any] = field(default_factory=dict)
    picture: npt.NDArray[Any] | None = field(default=None, repr=False)
    classes: tuple[str, ...] = ()

    def plot(self, target: int = 0) -> "Figure":
        """The attribution of one target over the image, a panel for each level.

        Red speaks for the class, blue against it; all panels have one color scale, and each says
        the level's share. In Jupyter the figure shows itself.
        """
        from fpnprobe.mm.inspect.attribution.plot import draw_over_image

        if not 0 <= target < len(self.targets):
            raise FpnProbeError(
                f"no target {target} in image {self.image_id}: expected 0 to "
                f"{len(self.targets) - 1}"
            )
        attributed = self.targets[target]
        label = self._describe_target(attributed)["label"]
        score = f", score {attributed.score:.2f}" if attributed.score == attributed.score else ""
        return draw_over_image(
            self.cells(target),
            self.maps.shares()[target].tolist(),
            picture=self.picture,
            box=[float(v) for v in attributed.box],
            title=f"{attributed.kind} {attributed.index}: {label}{score}",
        )

    def __repr__(self) -> str:
        kinds = ", ".join(sorted({target.kind for target in self.targets}))
        return f"Attribution(image {self.image_id}, {len(self.targets)} x {kinds}, {self.maps!r})"

    def _repr_html_(self) -> str:
        share_table = self.to_pandas().pivot_table(
            index=["kind", "object", "bucket", "assigned_level"],
            columns="level",
            values="share",
            sort=False,
            dropna=False,
        )
        return str(share_table.to_html(float_format="{:.2f}".format))

    def cells(self, target: int = 0) -> dict[str, npt.NDArray[np.float64]]:
        """Attribution of every cell for one of the targets, `(H, W)` per level, signed."""
        return {
            name: level[target].double().cpu().numpy()
            for name, level in zip(self.maps.levels, self.maps.cells(), strict=True)
        }

    def to_pandas(self) -> pd.DataFrame:
        """One row per target and level, columns as in `fpnprobe.attribution.table.COLUMNS`."""
        maps = self.maps
        shares, net = maps.shares().cpu(), maps.net().cpu()
        residual = maps.residual().cpu()
        rows = [
            {
                "study": "",
                "variant": "",
                "seed": 0,
                **self.labels,
                "image_id": self.image_id,
                "object": target.index,
                "kind": target.kind,
                "bucket": self.buckets[i],
                "method": maps.method,
                "place": self.place,
                "level": name,
                "share": float(shares[i, k]),
                "attribution": float(net[i, k]),
                "assigned_level": target.level,
                "value": float(maps.value[i]),
                "residual": float(residual[i]),
                **self._describe_target(target),
            }
            for i, target in enumerate(self.targets)
            for k, name in enumerate(maps.levels)
        ]
        return pd.DataFrame(rows, columns=[*COLUMNS, *DETAILS])

    def _describe_target(self, target: Target) -> dict[str, Any]:
        """Class, score and box of a target, in input pixels."""
        number = int(target.labels[0]) if len(target.labels) else -1
        has_name = 0 <= number < len(self.classes)
        x0, y0, x1, y1 = (float(v) for v in target.box)
        values = (self.classes[number] if has_name else str(number), target.score, x0, y0, x1 - x0,
                  y1 - y0)  # fmt: skip
        return dict(zip(DETAILS, values, strict=True))
