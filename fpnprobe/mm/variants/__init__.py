"""Variants: named ways to build and to supervise the pyramid of any mmdet detector.

A detector is always written in its FPN form; a variant is a change of that config. A name is a
pyramid, `DC5`, `FPN`, `FPN-CFG<stages>`, `FPN-Wide` or `FPN-Wide1`, and then, if wanted, its
supervision, `-Aux` or `-AuxU`; all combinations work (`fpnprobe.variants` holds the names).
Everything that the paper leaves open is an option, and the result holds every option with its
value, so that it is recorded with the run.

>>> from fpnprobe.mm.variants import apply_variant
>>> from mmengine.config import ConfigDict
>>> model = ConfigDict(
...     type="RetinaNet",
...     backbone=dict(type="ResNet", depth=50),
...     neck=dict(type="FPN", in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5,
...               start_level=1, add_extra_convs="on_input"),
...     bbox_head=dict(type="RetinaHead", num_classes=80, in_channels=256,
...                    anchor_generator=dict(type="AnchorGenerator", octave_base_scale=4,
...                                          scales_per_octave=1, ratios=[1.0],
...                                          strides=[8, 16, 32, 64, 128])))
>>> dc5 = apply_variant(model, "DC5")
>>> dc5.backbone.dilations, dc5.bbox_head.anchor_generator.scales
((1, 1, 1, 2), [2, 4, 8, 16, 32])
"""

from fpnprobe.mm.variants.apply import apply_variant
from fpnprobe.mm.variants.names import registered

__all__ = ["apply_variant", "registered"]
