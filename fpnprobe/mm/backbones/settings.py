"""The facts of a backbone that a detector needs: its config, channels and input scaling."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.registry import MODELS

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.backbones import lite0, lite0_weights

_STAGES = 4
_IMAGENET_MEAN, _IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@dataclass(frozen=True, slots=True)
class BackboneSettings:
    """A backbone's mmdet config, the channels of C2..C5, and mean and deviation of RGB input."""

    config: Mapping[str, Any]
    channels: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def backbone_settings(
    backbone: str | Mapping[str, Any],
    *,
    width: int = 16,
    weights: str | None = None,
    frozen_stages: int | None = None,
    norm_eval: bool | None = None,
) -> BackboneSettings:
    """Settings for "resnet18-narrow", "lite0" or a config of any mmdet backbone with four stages.

    `width` is the number of channels of C2 (narrow ResNet only). With weights, the stem and C2 are
    frozen and batch normalization keeps its statistics, unless said otherwise.

    Raises:
        FpnProbeError: For an unknown name, weights that do not fit, or a backbone without C2..C5.

    >>> backbone_settings("resnet18-narrow").channels
    (16, 32, 64, 128)
    """
    frozen = (1 if weights else -1) if frozen_stages is None else frozen_stages
    fixed_norms = bool(weights) if norm_eval is None else norm_eval
    if isinstance(backbone, Mapping):
        config = dict(backbone)
        if weights:
            config["init_cfg"] = {"type": "Pretrained", "checkpoint": weights}
        return BackboneSettings(config, _probe_channels(config), _IMAGENET_MEAN, _IMAGENET_STD)
    if backbone == "lite0":
        config = {
            "type": "Lite0",
            "weights": str(lite0_weights.path(weights)) if weights else None,
            "frozen_stages": frozen,
            "norm_eval": fixed_norms,
        }
        return BackboneSettings(config, lite0.CHANNELS, (127.0,) * 3, (128.0,) * 3)
    if backbone != "resnet18-narrow":
        raise FpnProbeError(
            f"unknown backbone {backbone!r}: expected 'resnet18-narrow', 'lite0' or an mmdet config"
        )
    if weights:
        raise FpnProbeError(
            f"detector.weights={weights!r}: the narrow ResNet is trained from scratch; "
            "use backbone='lite0' for ImageNet weights"
        )
    config = {
        "type": "NarrowResNet",
        "depth": 18,
        "base_channels": width,
        "num_stages": _STAGES,
        "out_indices": tuple(range(_STAGES)),
        "strides": (1, 2, 2, 2),
        "dilations": (1, 1, 1, 1),
        "frozen_stages": frozen,
        "norm_cfg": {"type": "BN", "requires_grad": True},
        "norm_eval": fixed_norms,
        "style": "pytorch",
    }
    channels = tuple(width * 2**stage for stage in range(_STAGES))
    return BackboneSettings(config, channels, (120.0,) * 3, (60.0,) * 3)


def _probe_channels(config: Mapping[str, Any]) -> tuple[int, ...]:
    """Find the channels of each output of a backbone by running it once on a small image."""
    fresh = {key: value for key, value in config.items() if key != "init_cfg"}
    with torch.random.fork_rng(), torch.no_grad():
        try:
            network = MODELS.build(fresh)
            network.eval()  # mmdet's `train` returns nothing
            outputs = network(torch.zeros(1, 3, 64, 64))
        except (KeyError, TypeError, AssertionError, RuntimeError) as error:
            raise FpnProbeError(f"cannot build the backbone {fresh}: {error}") from error
    if len(outputs) != _STAGES:
        raise FpnProbeError(
            f"the backbone {config.get('type')} gives {len(outputs)} feature maps, expected "
            f"{_STAGES} (C2 to C5): set its out_indices"
        )
    return tuple(output.shape[1] for output in outputs)
