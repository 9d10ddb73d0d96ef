"""The transforms through which an object can be followed."""

import inspect
from collections.abc import Sequence
from typing import Any

from mmcv.transforms import LoadAnnotations
from mmdet.datasets.transforms import PackDetInputs

from fpnprobe.errors import FpnProbeError

_AUDITED = ("mmcv.", "mmdet.")
# Of the audited packages, these read label values or renew the objects before labels are loaded.
_READERS = frozenset({"InstaBoost", "LoadTextAnnotations", "RandomSamplingNegPos"})


def check_pipeline(transforms: Sequence[Any], *, of: str) -> None:
    """Refuse a pipeline in which a class label may part from its box or be read by value.

    `transforms` is the whole way of a sample, wrappers (with the wrapped one as `inner`) included.

    Raises:
        FpnProbeError: Naming the transform, or the pipeline of dataset type `of`.
    """
    plain = [getattr(transform, "inner", transform) for transform in transforms]
    if sum(isinstance(transform, LoadAnnotations | PackDetInputs) for transform in plain) != 2:
        raise FpnProbeError(
            f"the pipeline of {of} is {', '.join(type(step).__name__ for step in plain)}: expected "
            "one LoadAnnotations and one PackDetInputs, between which the probe carries areas"
        )
    for transform in plain:
        _check_transform(transform)


def _check_transform(transform: Any) -> None:
    for nested in getattr(transform, "transforms", ()):
        for child in nested if isinstance(nested, list | tuple) else [nested]:
            _check_transform(child)
    kind = type(transform)
    if kind.__module__.startswith(_AUDITED):
        if kind.__name__ in _READERS:
            raise FpnProbeError(
                f"transform {kind.__name__} reads class labels or replaces objects before they "
                "are loaded: the probe cannot follow an object through it; leave it out"
            )
    elif not getattr(kind, "keeps_labels", False) and "label" in _read_source(kind):
        raise FpnProbeError(
            f"transform {kind.__name__} is unknown and mentions labels: set keeps_labels = True "
            "on the class if it moves labels along with their boxes and never reads their values"
        )


def _read_source(kind: type) -> str:
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return "label: no source to read, so expect the worst"
