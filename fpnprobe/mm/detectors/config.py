"""From the `detector` entry of a study to an mmdet model config in FPN form."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config, ConfigDict

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.backbones import backbone_settings
from fpnprobe.mm.detectors.faster_rcnn import faster_rcnn
from fpnprobe.mm.detectors.retinanet import retinanet
from fpnprobe.mm.detectors.spec import DetectorSpec
from fpnprobe.mm.detectors.stock import stock_model

_BUILDERS = {"faster_rcnn": faster_rcnn, "retinanet": retinanet}


def detector_config(spec: Mapping[str, Any] | DetectorSpec, num_classes: int) -> ConfigDict:
    """The model config of a detector, in FPN form, with `num_classes` object categories.

    `spec` has the keys of `DetectorSpec`.

    Raises:
        FpnProbeError: For unknown keys, frameworks, backbones, configs or missing weights.

    >>> model = detector_config({"framework": "faster_rcnn", "backbone": "resnet18-narrow"}, 5)
    >>> model.neck.type, model.neck.in_channels, model.roi_head.bbox_head.num_classes
    ('FPN', [16, 32, 64, 128], 5)
    """
    detector = spec if isinstance(spec, DetectorSpec) else DetectorSpec.parse(spec)
    if num_classes < 1:
        raise FpnProbeError(f"a detector of {num_classes} classes: expected at least 1")
    if detector.config is not None:
        model = stock_model(detector.config, num_classes=num_classes, weights=detector.weights)
        if detector.frozen_stages is not None:
            model.backbone.frozen_stages = detector.frozen_stages
    else:
        settings = backbone_settings(
            detector.backbone,
            width=detector.width,
            weights=detector.weights,
            frozen_stages=detector.frozen_stages,
            norm_eval=detector.norm_eval,
        )
        model = ConfigDict(_BUILDERS[detector.framework](detector, settings, num_classes))
    if not detector.overrides:
        return model
    merged = Config({"model": model})
    merged.merge_from_dict({"model": dict(detector.overrides)})
    result: ConfigDict = merged.model
    return result
