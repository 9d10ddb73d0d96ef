"""Operators and registries are ready before any test module imports mmcv or mmdet."""

import fpnprobe.mm  # noqa: F401
