"""The base of an adapter: it tells which object each row of a head's losses belongs to."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from mmdet.models.task_modules.samplers import SamplingResult
from torch import Tensor, nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.adapters.objects import BACKGROUND, Objects
from fpnprobe.mm.adapters.observing.head_rows import Rows
from fpnprobe.mm.adapters.observing.recorder import Recorder


class HeadAdapter:
    """Observes one head during one forward pass; subclass it for a head and `register_head` it.

    Implement `attach`: wrap the methods in which the head assigns objects to rows and calls its
    losses. The wrapping goes on the instance and is undone when the observation ends; a wrapper
    must return what the original returns. Inside `rows(objects)` every call of a `loss_*` module
    with as many predictions as rows (or as rows with an object) is taken apart by row.

    Attributes:
        head: The head.
        path: Its place in the detector, such as `roi_head.bbox_head`.
    """

    def __init__(self, head: Any, path: str, recorder: Recorder, undo: ExitStack) -> None:
        self.head, self.path = head, path
        self._recorder, self._undo = recorder, undo

    def attach(self) -> None:
        """Wrap the methods of `self.head`; called before every observed forward pass."""
        raise NotImplementedError

    @property
    def objects(self) -> Objects:
        """Objects of the batch; `objects.numbers(image, indices)` numbers them."""
        return self._recorder.objects

    def wrap(self, name: str, around: Callable[..., Any]) -> None:
        """Call `around(original, *args, **kwargs)` in place of the head's method `name`."""
        original = getattr(self.head, name)
        if name in vars(self.head):
            raise FpnProbeError(
                f"{self.path}.{name} is already overridden on the instance: remove the other "
                "wrapper, such as a second probe"
            )

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return around(original, *args, **kwargs)

        # Not setattr: nn.Module would look the function over, and plain deletion undoes it.
        vars(self.head)[name] = wrapper
        self._undo.callback(vars(self.head).pop, name, None)

    @contextmanager
    def rows(
        self, objects: Tensor | None = None, levels: Tensor | None = None, *, later: bool = False
    ) -> Iterator[Rows]:
        """Losses called inside have these rows.

        Args:
            objects: Number of each row's object, -1 for background, `(R,)`; may be set later on
                what the context gives, but before the first loss call.
            levels: Pyramid level of each row, `(R,)`.
            later: Losses called inside are not taken; `show` brings their rows.
        """
        classes = int(getattr(self.head, "num_classes", 0))
        rows = Rows(self.path, classes, objects, levels, later)
        with self._recorder.rows(rows):
            yield rows

    def show(self, name: str, rows: Tensor, objects: Tensor, levels: Tensor | None = None) -> None:
        """Bring unreduced loss rows `(R, ...)` that are part of the training graph."""
        if rows.shape[:1] != objects.shape:
            raise FpnProbeError(
                f"{self.path}: {name} has {tuple(rows.shape)} rows for {len(objects)} objects"
            )
        self._recorder.show(f"{self.path}.{name}", rows, Rows(self.path, 0, objects, levels))

    def count_witnessed(self, name: str, rows: int) -> None:
        """Say that so many rows of a loss were held against their class targets here."""
        self._recorder.witness.witnessed[f"{self.path}.{name}"] += rows

    def mute(self, module: nn.Module) -> None:
        """Ignore calls of a loss module whose result is part of rows given to `show`."""
        self._recorder.mute(module)

    def level(self, index: int) -> int:
        """Pyramid level of the `index`-th map that this head sees; -1 if not known."""
        return self._recorder.levels.number(self.path, index)

    def roi_levels(self, rows: int) -> Tensor | None:
        """Pyramid level of each RoI, from the last pooling of so many."""
        return self._recorder.levels.of_rois(self.path, rows)


def objects_of_samples(
    objects: Objects, samples: Sequence[SamplingResult], *, negatives: bool = True
) -> Tensor:
    """Object of each sampled box: each image's positives, then its negatives, `(R,)`."""
    per_image = []
    for image, sample in enumerate(samples):
        per_image.append(objects.numbers(image, sample.pos_assigned_gt_inds))
        if negatives:
            per_image.append(torch.full_like(sample.neg_inds, BACKGROUND))
    return torch.cat(per_image)


def sampling_results(args: Any, kwargs: Any) -> Sequence[SamplingResult]:
    """The sampling results among a method's arguments.

    Raises:
        FpnProbeError: If there are none.
    """
    for value in (*args, *kwargs.values()):
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], SamplingResult):
            return value
    raise FpnProbeError(
        "loss_and_target was called without sampling results: this head needs an adapter of its "
        "own, see fpnprobe.mm.adapters.register_head"
    )
