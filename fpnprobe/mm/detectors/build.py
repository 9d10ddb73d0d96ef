"""A detector with weights that depend on the seed alone."""

import logging

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

from fpnprobe.mm import quiet


def build_detector(model_cfg: ConfigDict, *, seed: int = 0) -> BaseDetector:
    """Build a detector and draw its weights; the random state of the caller stays as it is.

    >>> from fpnprobe.mm.detectors import detector_config
    >>> spec = {"width": 8, "channels": 16, "hidden": 16}
    >>> first, again = (build_detector(detector_config(spec, 5), seed=3) for _ in range(2))
    >>> weights = zip(first.parameters(), again.parameters())
    >>> all(torch.equal(a, b) for a, b in weights)
    True
    """
    devices = range(torch.cuda.device_count())
    logger = MMLogger.get_current_instance()
    handlers, level = logger.handlers, logger.level
    scope = DefaultScope.overwrite_default_scope("mmdet")
    with quiet.construction(), scope, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        try:
            # mmengine lists every initialized parameter, in files whatever their level
            logger.handlers = []
            logger.setLevel(logging.ERROR)
            detector: BaseDetector = MODELS.build(model_cfg)
            detector.init_weights()
        finally:
            logger.setLevel(level)
            logger.handlers = handlers
    return detector
