"""Detectors from mmdet's own configs, made ready for a study: classes, weights, float32 RoIs."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from fpnprobe.config.mmdet_configs import config_file
from fpnprobe.errors import EnvironmentProblem, FpnProbeError

# Their classes are pixels or "stuff" of the data set, not its object categories.
OTHER_CLASSES = ("semantic_head", "panoptic_fusion_head", "auxiliary_head")


# mmengine's own text lists the whole search path behind it
_IMPORTS = re.compile(r"custom modules from \{'imports': \[([^\]]*)\]")


def read_config(name: str) -> Config:
    """The mmdet config of that name.

    Raises:
        FpnProbeError: If there is none, or it cannot be read.
    """
    file = config_file(name)
    try:
        return Config.fromfile(file)
    except ImportError as error:
        modules = _IMPORTS.search(str(error))
        missing = modules[1] if modules else str(error).splitlines()[0]
        raise EnvironmentProblem(
            f"the mmdet config {file.name} imports {missing}, which cannot be imported here: "
            "install what it belongs to"
        ) from error
    except Exception as error:  # a config is a program
        raise FpnProbeError(
            f"cannot read the mmdet config {file}: {type(error).__name__}: {error}"
        ) from error


def stock_model(name: str, *, num_classes: int | None, weights: str | None) -> ConfigDict:
    """The `model` of an mmdet config, with our RoI extractor, `num_classes` and chosen weights.

    `num_classes` None keeps the config's own.

    `weights` None draws all weights, "imagenet" keeps the config's own (mmengine may download
    them), anything else is a file or address of backbone weights.
    """
    model = read_config(name).get("model")
    if not isinstance(model, ConfigDict):
        raise FpnProbeError(f"the mmdet config {name} has no `model`: expected a detector config")
    for_every_part(model, lambda config: _float32_rois(config))
    if num_classes is not None:
        set_classes(model, num_classes)
    if weights != "imagenet":
        for_every_part(model, _without_download)
    if weights not in (None, "imagenet"):
        model.backbone.init_cfg = ConfigDict(type="Pretrained", checkpoint=_local_file(weights))
    return model


def without_downloads(config: Any) -> None:
    """Let no part of a model config fetch weights; it is changed in place."""
    for_every_part(config, _without_download)


def for_every_part(config: Any, change: Callable[[ConfigDict], None]) -> None:
    """Apply `change` to every mapping in a config."""
    if isinstance(config, ConfigDict):
        change(config)
        for value in list(config.values()):
            for_every_part(value, change)
    elif isinstance(config, list | tuple):
        for value in config:
            for_every_part(value, change)


def _float32_rois(config: ConfigDict) -> None:
    if config.get("type") == "SingleRoIExtractor":
        config.type = "Float32RoIExtractor"


def _without_download(config: ConfigDict) -> None:
    init = config.get("init_cfg")
    entries = [init] if isinstance(init, dict) else list(init or [])
    local_entries = [
        e for e in entries if e.get("type") != "Pretrained" and not e.get("checkpoint")
    ]
    if len(local_entries) < len(entries):
        config.init_cfg = local_entries or None
    for key in ("pretrained", "teacher_ckpt"):
        if config.get(key):
            config[key] = None
    teacher = config.get("teacher_config")
    if isinstance(teacher, str) and not Path(teacher).is_file():  # relative to mmdet's sources
        config.teacher_config = str(config_file(Path(teacher).stem))


def set_classes(config: Any, num_classes: int) -> None:
    """Give every head of a model config so many object classes."""
    if isinstance(config, ConfigDict):
        if isinstance(config.get("num_classes"), int):
            config.num_classes = num_classes
        for key, value in config.items():
            if key not in OTHER_CLASSES:
                set_classes(value, num_classes)
    elif isinstance(config, list | tuple):
        for value in config:
            set_classes(value, num_classes)


def _local_file(weights: str | None) -> str:
    if weights and "://" in weights:
        return weights
    file = Path(str(weights)).expanduser()
    if not file.is_file():
        raise FpnProbeError(f"no weight file {file}: give an existing file, or 'imagenet'")
    return str(file)
