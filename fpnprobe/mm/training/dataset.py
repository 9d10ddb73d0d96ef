"""COCO images as mmdet samples, each a pure function of a seed and a position in training."""

import functools
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import PolygonMasks
from mmengine.structures import InstanceData
from torch.utils.data import Dataset, Sampler

from fpnprobe.data import pixels
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.training.shapes import grouped

Floats = npt.NDArray[np.float64]


class CellImages(Dataset[dict[str, Any]]):
    """Images of a COCO split as `dict(inputs, data_samples)`, as mmdet's detectors take them.

    `inputs` is (3, H, W) uint8 in BGR order; boxes are (N, 4) px corners in the resized image;
    `areas` (N,) float64 is the annotation's own area in px^2 of the original image; crowds are
    ignored instances. An index is a position in training: position p takes image
    `permutation(seed, p // n)[p % n]` and draws its flip from (seed, p), so any process at any
    time gives the same sample. The permutation is drawn at random, then put in an order in which
    a batch is wide or tall as a whole (`fpnprobe.mm.training.shapes`).

    Args:
        root: COCO folder with `images/`.
        annotations: its annotation file.
        classes: names of the classes, in the order of the labels.
        size: see `fpnprobe.data.pixels.target_size`.
        seed: None gives the images in their order and unchanged, for evaluation.
        flip: chance of a mirrored image.
        batch: images that are padded to one shape together, those of one pass over all processes.
        cache: see `fpnprobe.data.pixels.store`.
        masks: whether instance masks (polygons) are loaded as well.
        outline: whether an object without a segmentation, as in generated scenes, has its box as
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
        seed: int | None,
        flip: float = 0.0,
        batch: int = 1,
        cache: bool | str = "auto",
        masks: bool = False,
        outline: bool = False,
    ) -> None:
        content = json.loads(Path(annotations).read_text())
        self.metainfo = {"classes": classes}
        self.category_ids = _category_ids(content, classes)
        self._labels = {category: label for label, category in enumerate(self.category_ids)}
        self._images: list[dict[str, Any]] = content["images"]
        self._objects: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for each in content["annotations"]:
            if each["category_id"] in self._labels:
                self._objects[each["image_id"]].append(each)
        self._store = pixels.store(root, self._images, size=size, cache=cache)
        self._offsets = self._store.offsets()
        self._seed, self._flip, self._masks, self._outline = seed, flip, masks, outline
        self._batch = batch
        self._tall = np.array([height > width for height, width in self._store.shapes])

    def __len__(self) -> int:
        return len(self._images)

    @property
    def cached(self) -> bool:
        """Whether the pixels come from memory-mapped uint8 and no worker is needed."""
        return self._store.cache is not None

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
        return self.sample(index, flip=bool(draw < self._flip))

    def sample(self, index: int, *, flip: bool) -> dict[str, Any]:
        """The sample of one image."""
        image = self._images[index]
        height, width = self._store.shapes[index]
        array = self._pixels(index)
        if flip:
            array = array[:, ::-1]
        sample = DetDataSample(
            metainfo={
                "img_id": image["id"],
                "img_path": str(self._store.paths[index]),
                "ori_shape": (image["height"], image["width"]),
                "img_shape": (height, width),
                "scale_factor": (width / image["width"], height / image["height"]),
                "flip": flip,
                "flip_direction": "horizontal" if flip else None,
            }
        )
        objects = self._objects[image["id"]]
        sample.gt_instances = self._instances(
            [each for each in objects if not each.get("iscrowd", 0)], image, (height, width), flip
        )
        sample.ignored_instances = self._instances(
            [each for each in objects if each.get("iscrowd", 0)], image, (height, width), flip
        )
        tensor = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))  # (3, H, W)
        return {"inputs": tensor, "data_samples": sample}

    def _pixels(self, index: int) -> pixels.Pixels:
        shape = self._store.shapes[index]
        if self._mapped is None:
            return pixels.decode(self._store.paths[index], shape)
        flat = self._mapped[self._offsets[index] : self._offsets[index + 1]]
        return np.array(flat).reshape(*shape, 3)

    def _instances(
        self,
        objects: list[dict[str, Any]],
        image: Mapping[str, Any],
        shape: tuple[int, int],
        flip: bool,
    ) -> InstanceData:
        height, width = shape
        scale = np.array([width / image["width"], height / image["height"]] * 2)
        boxes: Floats = np.array([o["bbox"] for o in objects], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        boxes = np.clip(boxes, 0, [image["width"], image["height"]] * 2)
        kept = np.flatnonzero(((boxes[:, 2:] - boxes[:, :2]) > 0).all(axis=1))  # any of it inside
        boxes, objects = boxes[kept] * scale, [objects[i] for i in kept]
        if flip:
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        found = InstanceData(
            bboxes=torch.from_numpy(boxes.astype(np.float32)),
            labels=torch.tensor([self._labels[o["category_id"]] for o in objects]).long(),
            areas=torch.tensor([o["area"] for o in objects], dtype=torch.float64),
        )
        if self._masks:
            found.masks = self._polygons(objects, image, shape, flip)
        return found

    def _polygons(
        self,
        objects: list[dict[str, Any]],
        image: Mapping[str, Any],
        shape: tuple[int, int],
        flip: bool,
    ) -> PolygonMasks:
        outlines = [
            [np.asarray(part, float) for part in o.get("segmentation") or self._box(o)]
            for o in objects
        ]
        masks = PolygonMasks(outlines, image["height"], image["width"]).resize(shape)
        return masks.flip("horizontal") if flip else masks

    def _box(self, entry: Mapping[str, Any]) -> list[list[float]]:
        if not self._outline:
            raise FpnProbeError(
                f"annotation {entry.get('id')} has no segmentation, and this detector trains on "
                "masks: use data with masks, or a detector without a mask head"
            )
        left, top, width, height = entry["bbox"]
        right, bottom = left + width, top + height
        return [[left, top, right, top, right, bottom, left, bottom]]


class Positions(Sampler[int]):
    """Positions in training for one process, from pass `start` to the last.

    Pass i of `world` processes takes positions i * size * world and up, of which this process
    (`rank`) takes its `size`: one process or several, the global batch is the same.
    """

    def __init__(self, *, passes: int, size: int, rank: int = 0, world: int = 1) -> None:
        self.passes, self.size, self.rank, self.world = passes, size, rank, world
        self.start = 0

    def __len__(self) -> int:
        return self.passes * self.size

    def __iter__(self) -> Iterator[int]:
        for number in range(self.start, self.passes):
            first = (number * self.world + self.rank) * self.size
            yield from range(first, first + self.size)


def _category_ids(content: Mapping[str, Any], classes: tuple[str, ...]) -> list[int]:
    """Category id of each class, in the order of the labels."""
    by_name = {each["name"]: each["id"] for each in content["categories"]}
    return [by_name[name] for name in classes]
