"""Backbones that mmdet lacks, and the settings under which a detector uses a backbone.

`NarrowResNet` is small enough to be trained from scratch on a CPU in a minute; `Lite0` brings
ImageNet features at 3.4 M parameters. Both offer `stage_modules()`, the modules of C2..C5.
"""

from fpnprobe.mm.backbones.lite0 import Lite0
from fpnprobe.mm.backbones.narrow_resnet import NarrowResNet
from fpnprobe.mm.backbones.settings import BackboneSettings, backbone_settings

__all__ = ["BackboneSettings", "Lite0", "NarrowResNet", "backbone_settings"]
