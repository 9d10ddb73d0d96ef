"""mmdet detectors under captum: a detection, an object or a bucket becomes one number.

`build_chain` cuts a detector into stages and pyramid; its readout finds the detections of an image
*with their source* (the RoI or the prior that fired) and reads class logits there.
"""

from fpnprobe.mm.inspect.attribution.dense import PriorReadout
from fpnprobe.mm.inspect.attribution.segments import build_chain
from fpnprobe.mm.inspect.attribution.target import DetectorReadout, Target
from fpnprobe.mm.inspect.attribution.two_stage import RoIReadout

__all__ = ["DetectorReadout", "PriorReadout", "RoIReadout", "Target", "build_chain"]
