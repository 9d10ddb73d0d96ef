"""A detector and its images from what a user names: an mmdet config, or a trained cell."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmdet.datasets import CocoDataset

from fpnprobe.data import splits
from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.detectors.stock import read_config, stock_model
from fpnprobe.mm.inspect.trained_cell import TrainedCell
from fpnprobe.mm.inspect.weights import load_weights, read_weights
from fpnprobe.mm.training.images.dataset import CellImages
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket
from fpnprobe.store.cell import MANIFEST
from fpnprobe.store.runs import is_run


@dataclass(frozen=True, slots=True)
class Opened:
    """A built detector, images for it, and what to call them.

    Attributes:
        detector: On its device, in evaluation mode.
        images: In order and unchanged.
        buckets: Scale buckets of the study, or COCO's.
        cell: Study, variant and seed for a ledger.
    """

    detector: Any
    images: CellImages
    buckets: tuple[ScaleBucket, ...]
    cell: Mapping[str, Any]


def open_given(
    config: str,
    checkpoint: Path | None,
    *,
    data: Path | None,
    split: str,
    size: int | None,
    device: str,
    seed: int,
    area: str | None = None,
    trust: bool = False,
) -> Opened:
    """A trained cell where `config` is its folder, else an mmdet config with `data`.

    Raises:
        FpnProbeError: If the arguments do not fit together.
    """
    if not device.startswith(("cpu", "cuda")):
        raise FpnProbeError(f"device {device!r}: expected cpu or cuda")
    if size is not None and size < 32:
        raise FpnProbeError(f"size={size}: expected a short side of at least 32 px")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EnvironmentProblem(f"device {device!r}: no CUDA device here; use --device cpu")
    if (Path(config) / MANIFEST).is_file() or is_run(config):
        if any(option is not None for option in (checkpoint, data, size, area)):
            raise FpnProbeError(
                f"{config} is a trained cell with its own weights, images, size and areas: leave "
                "the checkpoint, --data, --size and --area out"
            )
        return open_cell(Path(config), device=device, trust=trust)
    if data is None:
        raise FpnProbeError(f"no images for {config}: give --data, a COCO folder")
    return open_config(
        config,
        checkpoint,
        data=data,
        split=split,
        area=area,
        size=size,
        device=device,
        seed=seed,
    )


def open_cell(folder: Path, *, device: str = "cpu", trust: bool = False) -> Opened:
    """A trained cell of a study with its own validation images."""
    cell = TrainedCell.open(folder, device=device, trust=trust)
    return Opened(cell.detector, cell.images_for_loss(), cell.buckets, cell.labels)


def open_config(
    config: str,
    checkpoint: Path | None,
    *,
    data: Path,
    split: str = "val",
    area: str | None = None,
    size: int | None = None,
    device: str = "cpu",
    seed: int = 0,
) -> Opened:
    """An mmdet config (file, or name of a shipped one) and a COCO folder.

    With a checkpoint, the classes are those it was trained on and the data must have them all;
    without one, weights are drawn from `seed` and the classes are those of the data.

    Args:
        config: As above.
        checkpoint: Weights, or None.
        data: Folder with `images/` and `annotations/<split>.json`.
        split: Name of the annotation file.
        area: "box" takes the area of an object from its box.
        size: Short side in px; by default the image scale of the config's test pipeline.
        device: "cpu" or "cuda".
        seed: Of drawn weights.

    Raises:
        FpnProbeError: If one of them cannot be read, or they do not fit together.
    """
    opened_split = splits.open_split(data, split, area=area)
    opened_split.check_images()
    names = opened_split.annotations.category_names
    loaded = read_config(config)
    state: Mapping[str, Any] = {}
    classes = names
    if checkpoint is not None:
        state, meta = read_weights(checkpoint)
        classes = _trained_classes(meta, loaded, names)
        missing = [name for name in classes if name not in names]
        if missing:
            raise FpnProbeError(
                f"{checkpoint} was trained on {len(classes)} classes and {data} has no category "
                f"{missing[0]!r}: give data with the same categories"
            )
    detector = build_detector(
        stock_model(config, num_classes=len(classes), weights=None), seed=seed
    )
    if checkpoint is not None:
        load_weights(detector, state, checkpoint)
    images = CellImages(
        data,
        opened_split.file,
        classes=classes,
        area=area,
        size=size or _find_scale(loaded),
        seed=None,
        cache=False,
        masks=getattr(detector, "with_mask", False),
    )
    detector.to(device).eval()
    return Opened(detector, images, COCO_BUCKETS, {"variant": Path(config).stem, "seed": seed})


def _trained_classes(
    meta: Mapping[str, Any], config: Any, names: tuple[str, ...]
) -> tuple[str, ...]:
    """Class names in the order of the labels: of the checkpoint, the config, COCO or the data."""
    stored = meta.get("dataset_meta") or {}
    class_names = stored.get("classes") or stored.get("CLASSES")
    if not class_names:
        dataset = config.get("train_dataloader", {}).get("dataset", {})
        class_names = (dataset.get("metainfo") or {}).get("classes")
    if not class_names:
        count = _find_largest(config.get("model"), "num_classes")
        class_names = CocoDataset.METAINFO["classes"] if count == 80 else names[:count]
    return (class_names,) if isinstance(class_names, str) else tuple(class_names)


def _find_largest(config: Any, key: str) -> int:
    if isinstance(config, dict):
        own_value = config.get(key)
        inner = [_find_largest(value, key) for value in config.values()]
        return max([own_value if isinstance(own_value, int) else 1, *inner])
    if isinstance(config, list | tuple):
        return max((_find_largest(value, key) for value in config), default=1)
    return 1


def _find_scale(config: Any) -> tuple[int, int] | None:
    """(short, long) side of the config's test images; None where it does not resize."""
    loader = config.get("test_dataloader") or config.get("val_dataloader") or {}
    for step in loader.get("dataset", {}).get("pipeline", []):
        if step.get("type") == "Resize" and step.get("scale"):
            scale = step["scale"]
            sides = (scale, scale) if isinstance(scale, int) else scale
            return min(sides), max(sides)
    return None
