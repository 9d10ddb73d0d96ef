"""The model config of a cell, and the model."""

import importlib
from collections.abc import Mapping
from typing import Any

from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

from fpnprobe.config.cell_config import CellConfig
from fpnprobe.mm.detectors import detector_config
from fpnprobe.mm.variants import apply_variant
from fpnprobe.variants import split_variant


def has_masks(model: Mapping[str, Any]) -> bool:
    """Tell whether a detector of this config trains on masks and predicts them."""
    return "mask_head" in model or "mask_head" in (model.get("roi_head") or {})


def model_config(config: CellConfig, *, classes: int) -> ConfigDict:
    """The mmdet model config of a cell.

    Args:
        config: The settings of the cell.
        classes: Number of classes.
    """
    for module in config.study.imports:
        importlib.import_module(module)
    init_default_scope("mmdet")
    variant = config.variant
    spec = {**config.study.detector, **variant.detector}
    base, _ = split_variant(variant.built)
    model = apply_variant(detector_config(spec, classes), base, **variant.options)
    if config.data.pad is not None:
        model.data_preprocessor.pad_size_divisor = config.data.pad
    return model
