"""The auxiliary prediction of one stage: projection, then a head of mmdet (Eq. 8)."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.registry import MODELS as DETECTION_MODELS
from mmdet.structures.bbox import bbox2roi
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor

from fpnprobe.methods import StageProjection, UncertaintyOptions
from fpnprobe.mm.auxiliary.uncertain_head import make_uncertain, uncertain


class _Branch(BaseModule):
    """Projection of C_i, a head, and the uncertainty of its predictions if wanted."""

    def __init__(
        self,
        *,
        in_channels: int,
        width: int | None,
        head: Mapping[str, Any],
        uncertainty: Mapping[str, Any] | None,
    ) -> None:
        super().__init__()
        self.project = StageProjection(in_channels, width=width)
        self.head = DETECTION_MODELS.build(ConfigDict(head))
        self.uncertainty = None
        if uncertainty is not None:
            self.uncertainty = make_uncertain(self.head, UncertaintyOptions(**uncertainty))


@MODELS.register_module()
class AuxiliaryRoIBranch(_Branch):
    """For a two-stage detector: every sampled RoI, pooled from C_i at its own stride.

    Args:
        in_channels: Channels of C_i.
        width: Channels after the projection; None for raw channels.
        extractor: Config of a RoI extractor with the one stride of C_i.
        head: Config of a box head.
        uncertainty: Fields of `fpnprobe.methods.UncertaintyOptions`, or None for plain losses.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        width: int | None,
        extractor: Mapping[str, Any],
        head: Mapping[str, Any],
        uncertainty: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(in_channels=in_channels, width=width, head=head, uncertainty=uncertainty)
        self.extractor = DETECTION_MODELS.build(ConfigDict(extractor))
        self.train_cfg = ConfigDict(pos_weight=-1)

    def loss(self, stage: Tensor, _samples: Sequence[Any], samplings: list[Any]) -> dict[str, Any]:
        """The losses of the sampled RoIs of all images from C_i (B, C_i, H, W)."""
        rois = bbox2roi([sampling.priors for sampling in samplings])
        pooled = self.extractor((self.project(stage),), rois)
        with uncertain(self.head, self.uncertainty) as complete:
            scores, deltas = self.head(pooled)
            result = self.head.loss_and_target(scores, deltas, rois, samplings, self.train_cfg)
            losses: dict[str, Any] = result["loss_bbox"]
            return complete(losses)


@MODELS.register_module()
class AuxiliaryDenseBranch(_Branch):
    """For a one-stage detector: its own head on C_i, with the anchors of all levels.

    Args:
        in_channels: Channels of C_i.
        width: Channels after the projection; None for raw channels.
        head: Config of the dense head on the one level C_i.
        uncertainty: Fields of `fpnprobe.methods.UncertaintyOptions`, or None for plain losses.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        width: int | None,
        head: Mapping[str, Any],
        uncertainty: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(in_channels=in_channels, width=width, head=head, uncertainty=uncertainty)

    def loss(self, stage: Tensor, samples: Sequence[Any], _samplings: list[Any]) -> dict[str, Any]:
        """The losses of all objects from C_i (B, C_i, H, W)."""
        with uncertain(self.head, self.uncertainty) as complete:
            losses: dict[str, Any] = self.head.loss((self.project(stage),), samples)
            return complete(losses)
