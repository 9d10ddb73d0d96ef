"""Pieces that the small detectors share: preprocessing, pyramid, boxes, assignment."""

from typing import Any

from fpnprobe.mm.backbones import BackboneSettings

LEVELS = 5
FINEST_STRIDE = 4


def strides() -> list[int]:
    """Return the strides of P2..P6 in px."""
    return [FINEST_STRIDE * 2**level for level in range(LEVELS)]


def frame(settings: BackboneSettings, channels: int) -> dict[str, Any]:
    """Return the preprocessor, backbone and neck. Images arrive as BGR, as OpenCV reads them."""
    return {
        "data_preprocessor": {
            "type": "DetDataPreprocessor",
            "mean": list(settings.mean),
            "std": list(settings.std),
            "bgr_to_rgb": True,
            "pad_size_divisor": 32,
        },
        "backbone": dict(settings.config),
        "neck": {
            "type": "FPN",
            "in_channels": list(settings.channels),
            "out_channels": channels,
            "num_outs": LEVELS,
        },
    }


def anchors(scales: list[float]) -> dict[str, Any]:
    """Return the anchors of three shapes; `scales` are sides in strides of the level."""
    return {
        "type": "AnchorGenerator",
        "scales": scales,
        "ratios": [0.5, 1.0, 2.0],
        "strides": strides(),
    }


def box_coder(deviations: tuple[float, float, float, float]) -> dict[str, Any]:
    """Return the box offsets in units of `deviations`."""
    return {
        "type": "DeltaXYWHBBoxCoder",
        "target_means": [0.0] * 4,
        "target_stds": list(deviations),
    }


def assigner(positive: float, negative: float, minimum: float, low_quality: bool) -> dict[str, Any]:
    """Assignment by IoU thresholds."""
    return {
        "type": "MaxIoUAssigner",
        "pos_iou_thr": positive,
        "neg_iou_thr": negative,
        "min_pos_iou": minimum,
        "match_low_quality": low_quality,
        "ignore_iof_thr": -1,
    }


def sampler(number: int, add_objects: bool) -> dict[str, Any]:
    """Random rows, half of them positive where there are enough."""
    return {
        "type": "RandomSampler",
        "num": number,
        "pos_fraction": 0.5,
        "neg_pos_ub": -1,
        "add_gt_as_proposals": add_objects,
    }


def suppression(threshold: float) -> dict[str, Any]:
    """Non-maximum suppression."""
    return {"type": "nms", "iou_threshold": threshold}
