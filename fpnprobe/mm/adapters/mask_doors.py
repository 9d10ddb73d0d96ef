"""Doors by which mmdet's targets leave torch: instance masks in numpy, maps filled by numbers.

While a head is followed, `BitmapMasks` and `PolygonMasks` carry the number of each mask's object,
and what they give back is marked. Nothing that they return is changed.
"""

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import mmcv
import numpy as np
import torch
from mmdet.models.dense_heads import GuidedAnchorHead
from mmdet.models.roi_heads.mask_heads import GridHead
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from torch import Tensor

from fpnprobe.probing.provenance import NONE, Provenance
from fpnprobe.probing.provenance.operation import unobserved

_SAME_MASKS = ("rescale", "resize", "flip", "pad", "crop", "expand", "translate", "to_bitmap")
_GAUSSIAN = ("gen_gaussian_target", "gaussian_target")
_RESIZERS = ("imrescale",)


class MaskDoors:
    """Numbers of the objects of instance masks, beside the masks."""

    def __init__(self, provenance: Provenance) -> None:
        self._provenance = provenance
        # The masks are kept, so that their ids stay theirs.
        self._numbers: dict[int, tuple[Any, Tensor]] = {}

    def mark(self, masks: Any, numbers: Tensor) -> None:
        """Say which object each mask of an image is of."""
        self._numbers[id(masks)] = masks, numbers.cpu()
        array = getattr(masks, "masks", None)
        if isinstance(array, np.ndarray):
            self._provenance.mark_array(array, numbers)

    def _marks_of(self, masks: Any) -> Tensor | None:
        marks = self._numbers.get(id(masks))
        return None if marks is None else marks[1]

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Inside, masks hand their objects on; afterwards the classes are as before."""
        with ExitStack() as undo:
            for kind in (BitmapMasks, PolygonMasks):
                for name in (*_SAME_MASKS, "__getitem__", "crop_and_resize"):
                    if name in vars(kind):
                        _wrap_function(
                            undo, kind, name, functools.partial(self._masks_to_masks, name)
                        )
                _wrap_function(undo, kind, "to_ndarray", self._masks_to_array)
                _wrap_function(undo, kind, "to_tensor", self._masks_to_tensor)
            for module in list(sys.modules.values()):
                if getattr(module, "__name__", "").startswith("mmdet.models"):
                    for name in _GAUSSIAN:
                        if callable(vars(module).get(name)):
                            _wrap_function(undo, module, name, self._draw_gaussian)
            _wrap_function(undo, GridHead, "get_targets", self._mark_grids)
            _wrap_function(undo, GuidedAnchorHead, "ga_loc_targets", self._fill_places)
            for name in _RESIZERS:
                _wrap_function(undo, mmcv, name, self._resize_array)
            yield

    def _masks_to_masks(
        self, name: str, original: Callable[..., Any], masks: Any, *args: Any, **kwargs: Any
    ) -> Any:
        new_masks = original(masks, *args, **kwargs)
        numbers = self._marks_of(masks)
        if numbers is not None:
            if name == "__getitem__":
                numbers = torch.atleast_1d(numbers[_as_index(args[0])])
            elif name == "crop_and_resize":
                indices = kwargs["inds"] if "inds" in kwargs else args[2]
                numbers = numbers[_as_index(indices)]
            if len(new_masks) == len(numbers):
                self.mark(new_masks, numbers)
        return new_masks

    def _masks_to_array(self, original: Callable[..., Any], masks: Any) -> Any:
        array = original(masks)
        numbers = self._marks_of(masks)
        if numbers is not None and len(numbers):
            self._provenance.mark_array(array, numbers)
        return array

    def _masks_to_tensor(
        self, original: Callable[..., Any], masks: Any, *args: Any, **kwargs: Any
    ) -> Any:
        tensor = original(masks, *args, **kwargs)
        numbers = self._marks_of(masks)
        if numbers is not None and len(numbers):
            self._provenance.mark(tensor, numbers[:, None, None])
        return tensor

    def _mark_grids(
        self, original: Callable[..., Any], head: Any, sampling_results: Any, *args: Any
    ) -> Any:
        """Grid targets are drawn point by point from the boxes of the positives, in their order."""
        grids = original(head, sampling_results, *args)
        boxes = torch.cat(
            [getattr(r.pos_gt_bboxes, "tensor", r.pos_gt_bboxes) for r in sampling_results]
        )
        numbers = self._provenance.marks_of(boxes)[:, 0]
        if len(numbers) == len(grids):
            self._provenance.mark(grids, numbers[:, None, None, None])
        return grids

    def _fill_places(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Regions of a map between whole numbers are those of the object they were read off."""
        self._provenance.is_filling = True
        try:
            filled = original(*args, **kwargs)
        finally:
            self._provenance.is_filling = False
        for weights in filled[1]:  # another object's region may lie in them
            self._provenance.mark(weights, torch.tensor(NONE))
        return filled

    def _resize_array(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """An array that is resized is that of the object whose tensor has just left torch."""
        resized = original(*args, **kwargs)
        number = self._provenance.last_left
        if number >= 0 and isinstance(resized, np.ndarray):
            self._provenance.mark_array(resized, torch.tensor([number]))
        return resized

    def _draw_gaussian(
        self, original: Callable[..., Any], heatmap: Tensor, center: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """The elements that a Gaussian raises are those of the object at its center."""
        numbers = [
            self._provenance.marks_of(coordinate).reshape(-1)[0]
            for coordinate in center
            if isinstance(coordinate, Tensor)
        ]
        with unobserved():
            before = heatmap.clone()
        drawn = original(heatmap, center, *args, **kwargs)
        # Centers that are Python numbers by now were read off the object's box just before.
        number = int(numbers[0]) if numbers else self._provenance.last_left
        if number >= 0:
            with unobserved():
                marks = torch.where(drawn > before, number, self._provenance.memory.read(drawn))
            self._provenance.mark(drawn, marks)
        return drawn


def _as_index(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.cpu()
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def _wrap_function(undo: ExitStack, owner: Any, name: str, around: Callable[..., Any]) -> None:
    original = vars(owner)[name]

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return around(original, *args, **kwargs)

    setattr(owner, name, wrapper)
    undo.callback(setattr, owner, name, original)
