"""Gives a head of mmdet an uncertainty for each prediction, from the feature that predicts it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from mmdet.models.dense_heads import ATSSHead, FreeAnchorRetinaHead, FSAFHead
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.methods import Uncertainty, UncertaintyOptions
from fpnprobe.mm.auxiliary.free_anchor import UncertainFreeAnchorHead
from fpnprobe.mm.auxiliary.uncertain_loss import HeadScores, Later, Part, UncertainLoss

# Names of the layers that predict, in mmdet's heads.
_PREDICTORS: dict[Part, tuple[str, ...]] = {
    "classification": ("fc_cls", "retina_cls", "atss_cls", "conv_cls"),
    "regression": ("fc_reg", "retina_reg", "atss_reg", "conv_reg"),
}
_LOSSES: dict[Part, str] = {"classification": "loss_cls", "regression": "loss_bbox"}

Losses = dict[str, Any]


class HeadUncertainty(nn.Module):
    """The uncertainties (Eq. 11) of the classifications and of the boxes of one head."""

    def __init__(self, channels: dict[Part, int], options: UncertaintyOptions) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(
            {
                loss_part: Uncertainty(count, options=options)
                for loss_part, count in channels.items()
            }
        )
        self.shared = HeadScores()


def make_uncertain(head: nn.Module, options: UncertaintyOptions) -> HeadUncertainty:
    """Put `UncertainLoss` in the place of the head's losses; what it learns is returned.

    Raises:
        FpnProbeError: For a head whose predicting layers are not known here.
    """
    layers = {loss_part: _find_predictor(head, loss_part) for loss_part in _PREDICTORS}
    channels = {
        loss_part: int(layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels)
        for loss_part, layer in layers.items()
    }
    uncertainty = HeadUncertainty(channels, options)
    if isinstance(head, FreeAnchorRetinaHead):
        if not isinstance(head, UncertainFreeAnchorHead):
            raise FpnProbeError(
                f"{type(head).__name__} weighs bags, not rows: use type 'UncertainFreeAnchorHead'"
            )
        head.options, head.shared = options, uncertainty.shared
        return uncertainty
    for loss_part, name in _LOSSES.items():
        loss = UncertainLoss(
            getattr(head, name),
            part=loss_part,
            options=options,
            classes=head.num_classes,  # type: ignore[arg-type]
            shared=uncertainty.shared,
            later=_find_later(head, loss_part),
        )
        setattr(head, name, loss)
    return uncertainty


@contextlib.contextmanager
def uncertain(
    head: nn.Module, uncertainty: HeadUncertainty | None
) -> Iterator[Callable[[Losses], Losses]]:
    """Within, the head's losses are weighed by the uncertainty of what it predicts there.

    Yields a function that completes the losses: an uncertainty that no loss took, as of boxes
    where there is no object, enters with the factor zero, for DDP wants all parameters used.
    """
    if uncertainty is None:
        yield lambda losses: losses
        return
    shared = uncertainty.shared
    shared.alpha.clear()
    priors = int(getattr(head, "num_base_priors", 1))

    def listener(loss_part: Part) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def take(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            scores = uncertainty.parts[loss_part](inputs[0])  # (N, 1) or (B, 1, H, W)
            if scores.dim() == 4:
                scores = scores.permute(0, 2, 3, 1).expand(-1, -1, -1, priors)
            shared.scores[loss_part] = scores.flatten()

        return take

    def complete(losses: Losses) -> Losses:
        for loss_part in set(shared.scores) - shared.weighed_parts:
            name = _LOSSES[loss_part]
            idle = 0 * shared.scores[loss_part].sum()
            losses[name] = (
                [losses[name][0] + idle] if isinstance(losses[name], list) else losses[name] + idle
            )
        return losses

    handles = [
        _find_predictor(head, loss_part).register_forward_pre_hook(listener(loss_part))
        for loss_part in _PREDICTORS
    ]
    try:
        yield complete
    finally:
        for handle in handles:
            handle.remove()
        shared.scores.clear()
        shared.weighed_parts.clear()
        shared.objects = None


def _find_predictor(head: nn.Module, loss_part: Part) -> Any:
    for name in _PREDICTORS[loss_part]:
        if hasattr(head, name):
            return getattr(head, name)
    raise FpnProbeError(
        f"{type(head).__name__} has no known layer for {loss_part} (known: "
        f"{', '.join(_PREDICTORS[loss_part])}), so its uncertainty has no feature; use the variant "
        "with '-Aux'"
    )


def _find_later(head: nn.Module, loss_part: Part) -> Later:
    if isinstance(head, FSAFHead):
        return "objects"
    return "weights" if isinstance(head, ATSSHead) and loss_part == "regression" else "nothing"
