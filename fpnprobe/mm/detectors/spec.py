"""The typed form of the `detector` entry of a study."""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from fpnprobe.errors import FpnProbeError

FRAMEWORKS = ("faster_rcnn", "retinanet")


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSpec:
    """A detector: one of our small builders (`framework`) or an mmdet config (`config`).

    Attributes:
        framework: "faster_rcnn" or "retinanet", built small for CPU studies.
        config: Name or path of an mmdet config; then only `weights`, `frozen_stages` and
            `overrides` apply besides.
        backbone: "resnet18-narrow", "lite0", or the config of an mmdet backbone with C2..C5.
        width: Channels of C2 of the narrow ResNet.
        channels: Channels of every pyramid level.
        size: Image side in px that the detector is made for; sets `anchor` if that is not given.
        anchor: Side in px of the smallest anchor; each pyramid level doubles it.
        proposals: Proposals per image in training (two-stage).
        rois: Sampled RoIs per image in training (two-stage).
        hidden: Units of the two fully connected layers (two-stage).
        stacked_convs: Convolutions before the predictions (one-stage).
        weights: None for random; "imagenet"; or a file or address of backbone weights.
        frozen_stages: As in mmdet: -1 none, 0 the stem, 1 also C2, ... Default: the config's; of a
            `framework` -1, with weights 1.
        norm_eval: Whether batch normalization keeps its statistics. Default: with weights.
        overrides: Merged into the model config last, as mmengine merges configs.
    """

    framework: str = "faster_rcnn"
    config: str | None = None
    backbone: str | Mapping[str, Any] = "resnet18-narrow"
    width: int = 16
    channels: int = 64
    size: int = 192
    anchor: float | None = None
    proposals: int = 128
    rois: int = 64
    hidden: int = 256
    stacked_convs: int = 2
    weights: str | None = None
    frozen_stages: int | None = None
    norm_eval: bool | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.framework not in FRAMEWORKS:
            raise FpnProbeError(
                f"detector.framework={self.framework!r}: expected one of {', '.join(FRAMEWORKS)}; "
                "for any other detector give detector.config, the name of an mmdet config"
            )
        for name in ("width", "channels", "size", "proposals", "rois", "hidden"):
            if not getattr(self, name) >= 1:
                raise FpnProbeError(f"detector.{name}={getattr(self, name)}: expected at least 1")

    @property
    def smallest_anchor(self) -> float:
        """Side of the smallest anchor in px: a sixteenth of the image where nothing is given."""
        return self.size / 16 if self.anchor is None else self.anchor

    @classmethod
    def parse(cls, spec: Mapping[str, Any]) -> Self:
        """From a mapping.

        Raises:
            FpnProbeError: For a key that does not exist, with the nearest ones.

        >>> DetectorSpec.parse({"framework": "retinanet", "size": 320}).smallest_anchor
        20.0
        """
        keys = [entry.name for entry in dataclasses.fields(cls)]
        for key in spec:
            if key not in keys:
                nearest = difflib.get_close_matches(key, keys, n=2) or keys
                raise FpnProbeError(
                    f"unknown key detector.{key}: did you mean {' or '.join(nearest)}?"
                )
        return cls(**spec)
