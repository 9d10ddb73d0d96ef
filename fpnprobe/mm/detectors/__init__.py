"""Detectors in FPN form: small ones that a CPU trains in a minute, and every mmdet config.

`detector_config` turns the `detector` of a study into an ordinary mmdet model config with a
backbone, an `FPN` neck and heads; `fpnprobe.mm.variants` makes the other variants from it.
"""

from fpnprobe.mm.detectors.build import build_detector
from fpnprobe.mm.detectors.config import detector_config
from fpnprobe.mm.detectors.spec import DetectorSpec

__all__ = ["DetectorSpec", "build_detector", "detector_config"]
