"""COCO images as mmdet samples, each a pure function of a seed and a position in training."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch.utils.data import Dataset

from fpnprobe.data import splits
from fpnprobe.data.annotation_file.column_file import read_usable
from fpnprobe.data.image_files import pixels
from fpnprobe.mm.training.images.masks import load_masks
from fpnprobe.mm.training.images.shapes import grouped

Floats = npt.NDArray[np.float64]


class CellImages(Dataset[dict[str, Any]]):
    """Images of a COCO split as `dict(inputs, data_samples)`, as mmdet's detectors take them.

    `inputs` is (3, H, W) uint8 in BGR order; boxes are (N, 4) px corners in the resized image;
    `areas` (N,) float64 is the annotation's own area in px^2 of the original image; crowds are
    ignored instances. An index is a position in training: position p takes image
    `permutation(seed, p // n)[p % n]` and draws its flip from (seed, p), so any process at any
    time gives the same sample. The permutation is drawn at random, then put in an order in which
    a batch is wide or tall as a whole (`fpnprobe.mm.training.images.shapes`).

    Args:
        root: Data folder.
        annotations: Its annotation file.
        classes: Names of the classes, in the order of the labels.
        size: See `fpnprobe.data.image_files.pixels.target_size`.
        area: "box" takes the area of an object from its box, for data that have none.
        short_sides: Least and greatest short side in px, from which each image draws its own every
            time it is taken; its long side is at most that of `size`. Such images are decoded each
            time. None takes `size`.
        seed: None gives the images in their order and unchanged, for evaluation.
        flip: Chance of a mirrored image.
        batch: Images that are padded to one shape together, those of one pass over all processes.
        cache: See `fpnprobe.data.image_files.pixels.store`.
        masks: Whether instance masks are loaded as well; crowds never have one.
        outline: Whether an object without a segmentation, as in generated scenes, has its box as
            its mask; otherwise it is an error.
    """

    carries_areas = True  # the probe need not carry them through a pipeline

    def __init__(
        self,
        root: str | Path,
        annotations: str | Path,
        *,
        classes: tuple[str, ...],
        size: int | tuple[int, int] | None,
        area: str | None = None,
        short_sides: tuple[int, int] | None = None,
        seed: int | None,
        flip: float = 0.0,
        batch: int = 1,
        cache: bool | str = "auto",
        masks: bool = False,
        outline: bool = False,
    ) -> None:
        in_file = read_usable(annotations, area=area)
        self.metainfo = {"classes": classes}
        # a copy of nothing where the classes are the file's: the arrays are shared by processes
        same = in_file.category_names == classes
        self.annotations = in_file if same else in_file.with_categories(classes)
        self.image_ids = self.annotations.image_keys.numbers
        self.category_ids: list[int] = self.annotations.category_keys.numbers.tolist()
        # objects of image i, in the order of the file: rows[first[i] : first[i + 1]]
        self._rows = np.argsort(self.annotations.image, kind="stable")
        self._first = np.searchsorted(
            self.annotations.image[self._rows], np.arange(len(self.image_ids) + 1)
        )
        folder = splits.image_folder(root, annotations, in_file)
        paths = [folder / name for name in in_file.image_names]
        self._short_sides = short_sides
        self._long_side = size[1] if isinstance(size, tuple) else (size or 0) * 5 // 3
        cache = False if short_sides is not None else cache
        self._store = pixels.store(paths, in_file.sizes, size=size, cache=cache)
        self._offsets = self._store.offsets()
        self._seed, self._flip, self._masks, self._outline = seed, flip, masks, outline
        self._batch = batch
        self._tall = np.array([height > width for height, width in self._store.shapes])

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def cached(self) -> bool:
        """Whether the pixels come from memory-mapped uint8 and no worker is needed."""
        return self._store.cache is not None

    @property
    def has_one_shape(self) -> bool:
        """Whether all images have one height and one width."""
        return self._short_sides is None and len(set(self._store.shapes)) == 1

    @functools.cached_property
    def _mapped(self) -> npt.NDArray[np.uint8] | None:
        return self._store.mapped()

    @functools.lru_cache(maxsize=2)  # noqa: B019 - one data set lives as long as its process
    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        drawn = np.random.default_rng([self._seed or 0, epoch]).permutation(len(self))
        return grouped(drawn, self._tall, batch=self._batch, first=epoch * len(self))

    def __getitem__(self, position: int) -> dict[str, Any]:
        if self._seed is None:
            return self.sample(position, flip=False)
        index = int(self._order(position // len(self))[position % len(self)])
        draw = np.random.default_rng([self._seed, 1, position]).random()
        shape = self._draw_shape(index, position)
        return self.sample(index, flip=bool(draw < self._flip), shape=shape)

    def _draw_shape(self, index: int, position: int) -> tuple[int, int] | None:
        """Draw the height and width of a multi-scale image in px; None for its own."""
        if self._short_sides is None:
            return None
        least, greatest = self._short_sides
        short = np.random.default_rng([self._seed or 0, 2, position]).integers(least, greatest + 1)
        height, width = self.annotations.sizes[index].tolist()
        return pixels.target_size(height, width, (int(short), self._long_side))

    def sample(
        self, index: int, *, flip: bool, shape: tuple[int, int] | None = None
    ) -> dict[str, Any]:
        """The sample of one image, at a height and width of its own if they are given."""
        size = self.annotations.sizes[index]
        full_height, full_width = int(size[0]), int(size[1])
        height, width = shape or self._store.shapes[index]
        array = self._pixels(index, (height, width))
        if flip:
            array = array[:, ::-1]
        sample = DetDataSample(
            metainfo={
                "img_id": int(self.image_ids[index]),
                "img_path": str(self._store.paths[index]),
                "ori_shape": (full_height, full_width),
                "img_shape": (height, width),
                "scale_factor": (width / full_width, height / full_height),
                "flip": flip,
                "flip_direction": "horizontal" if flip else None,
            }
        )
        rows = self._rows[self._first[index] : self._first[index + 1]]
        crowd = self.annotations.crowd[rows]
        sample.gt_instances = self._instances(rows[~crowd], index, (height, width), flip)
        sample.ignored_instances = self._instances(rows[crowd], index, (height, width), flip)
        if self._masks:
            sample.gt_instances.masks = load_masks(
                self.annotations,
                rows[~crowd],
                size=(full_height, full_width),
                target=(height, width),
                flip=flip,
                boxes=self._outline,
            )
        tensor = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))  # (3, H, W)
        return {"inputs": tensor, "data_samples": sample}

    def _pixels(self, index: int, shape: tuple[int, int]) -> pixels.Pixels:
        if self._mapped is None:
            return pixels.decode(self._store.paths[index], shape)
        flat = self._mapped[self._offsets[index] : self._offsets[index + 1]]
        return np.array(flat).reshape(*shape, 3)

    def _instances(
        self, rows: npt.NDArray[np.int64], index: int, shape: tuple[int, int], flip: bool
    ) -> InstanceData:
        """Objects of image `index` at a shape, given by their rows in the annotations."""
        height, width = shape
        full = self.annotations.sizes[index][::-1]  # width, height
        scale = np.array([width / full[0], height / full[1]] * 2)
        boxes: Floats = self.annotations.boxes[rows]
        boxes[:, 2:] += boxes[:, :2]
        boxes = np.clip(boxes, 0, [*full, *full]) * scale
        if flip:
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        return InstanceData(
            bboxes=torch.from_numpy(boxes.astype(np.float32)),
            labels=torch.from_numpy(self.annotations.category[rows]),
            areas=torch.from_numpy(self.annotations.areas[rows]),
        )
