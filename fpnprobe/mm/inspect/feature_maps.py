"""Store what a trained cell's maps look like on a few images (Fig. 5 of the paper)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from fpnprobe.attribution.chain import Chain
from fpnprobe.mm.inspect import channel_groups
from fpnprobe.mm.inspect.attribution.image import DetectorImage
from fpnprobe.mm.inspect.attribution.segments import build_chain
from fpnprobe.mm.training.images.dataset import CellImages
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, bucket_index
from fpnprobe.store import atomic
from fpnprobe.store.feature_maps import Features, group_compactness

INDEX = "index.json"
_CELLS, _THUMBNAIL, _SEARCHED = 64, 128, 200  # cells, px, images


def save(
    detector: Any,
    images: CellImages,
    folder: str | Path,
    *,
    count: int = 4,
    buckets: Sequence[ScaleBucket] = COCO_BUCKETS,
) -> list[int]:
    """Write the features of `count` images and an index; every cell of a study takes the same.

    At most 64 x 64 cells per map in half precision, a thumbnail of 128 px, and a number for each
    level (`fpnprobe.store.feature_maps`): below 256 KiB per image, whatever the detector.

    Args:
        detector: Trained, of mmdet.
        images: Validation images in order.
        folder: `features/` of the cell.
        count: Number of images.
        buckets: Images that show the most of these are taken, the first of equals.

    Returns:
        Ids of the images.
    """
    chain: Chain | None = None
    ids = []
    for position in choose(images, count=count, buckets=buckets):
        sample = images[position]
        image = DetectorImage.of(detector, sample)
        chain = chain or build_chain(detector, image.pixels, with_readout=False)
        features = extract(chain, image, thumbnail=sample["inputs"])
        features.write(folder)
        ids.append(features.image_id)
    atomic.write_json(Path(folder) / INDEX, ids)
    return ids


def choose(images: CellImages, *, count: int, buckets: Sequence[ScaleBucket]) -> list[int]:
    """Positions of the images with objects of the most buckets, of the first 200 images."""
    image_ids = []
    for position in range(min(len(images), _SEARCHED)):
        areas = images[position]["data_samples"].gt_instances.areas.numpy()
        image_ids.append((-len(np.unique(bucket_index(areas, buckets))), position))
    return sorted(position for _, position in sorted(image_ids)[:count])


def extract(chain: Chain, image: DetectorImage, *, thumbnail: Tensor) -> Features:
    """The maps of one image at all places of a chain; `thumbnail` is `(3, H, W)` uint8, BGR."""
    maps: dict[str, Tensor] = {}
    with channel_groups.listening(chain.neck) as channels:
        for place in chain.places():
            for name, level in zip(
                chain.levels(place), chain.features(image.pixels, place), strict=True
            ):
                maps[name] = _pool_map(_crop_padding(level, image).mean(1, keepdim=True))[0].sqrt()
    compactness = {
        name: group_compactness(
            _pool_map(_crop_padding(level, image)).cpu().numpy(), groups=channels.groups
        )
        for name, level in channels.maps.items()
    }
    original = image.meta["ori_shape"]
    scale = torch.tensor([*image.meta["scale_factor"]] * 2, device=image.boxes.device)
    return Features(
        image_id=image.image_id,
        maps={name: values.cpu().numpy() for name, values in maps.items()},
        boxes=(image.boxes / scale).double().cpu().numpy(),
        areas=image.areas.double().cpu().numpy(),
        labels=image.labels.cpu().numpy(),
        size=(int(original[1]), int(original[0])),
        image=_shrink_picture(thumbnail),
        compactness=compactness,
    )


def _crop_padding(level: Tensor, image: DetectorImage) -> Tensor:
    """Squares of a level `(1, Z, h, w)` without the padding."""
    height, width = image.meta["img_shape"]
    padded = image.pixels.shape[-2:]
    visible = level[
        ...,
        : max(1, round(level.shape[-2] * height / padded[0])),
        : max(1, round(level.shape[-1] * width / padded[1])),
    ]
    return visible.double().square()


def _pool_map(squares: Tensor) -> Tensor:
    """`(1, n, h, w)` to `(n, h', w')`: averaged to at most 64 cells on a side."""
    h, w = squares.shape[-2:]
    scale = min(1.0, _CELLS / max(h, w))
    size = (max(1, round(h * scale)), max(1, round(w * scale)))
    if size != (h, w):
        squares = torch.nn.functional.adaptive_avg_pool2d(squares, size)
    return squares[0]


def _shrink_picture(pixels: Tensor) -> Any:
    array = np.ascontiguousarray(pixels.cpu().numpy().transpose(1, 2, 0)[:, :, ::-1])
    scale = min(1.0, _THUMBNAIL / max(array.shape[:2]))
    size = (max(1, round(array.shape[1] * scale)), max(1, round(array.shape[0] * scale)))
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA)
