"""Masks of polygons and run lengths, crowds among them, as a detector trains on them."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from fpnprobe.data.annotation_file import reader
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.training.images.dataset import CellImages
from fpnprobe.mm.training.images.masks import load_masks

# mmdet gives its masks to NumPy, pycocotools its own to it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")
HEIGHT, WIDTH = 32, 48
TRIANGLE = [4.0, 4.0, 24.0, 4.0, 4.0, 28.0]


def run_lengths(mask: Any) -> dict[str, Any]:
    """Uncompressed COCO run lengths, column by column, zeros first."""
    flat = np.asarray(mask, np.uint8).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges.tolist(), len(flat)]).tolist()
    return {"size": list(mask.shape), "counts": [0, *lengths] if flat[0] else lengths}


def square() -> Any:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[8:20, 30:44] = 1
    return mask


def content(*segmentations: Any) -> dict[str, Any]:
    """An image with these masks, the last a crowd where there are three."""
    boxes = [[4.0, 4.0, 20.0, 24.0], [30.0, 8.0, 14.0, 12.0], [0.0, 0.0, 48.0, 32.0]]
    entries = [
        {
            "id": n, "image_id": 1, "category_id": 1, "bbox": box, "area": box[2] * box[3] / 2,
            "iscrowd": int(n == 2), "segmentation": segmentation,
        }
        for n, (box, segmentation) in enumerate(zip(boxes, segmentations, strict=False))
    ]  # fmt: skip
    return {
        "images": [{"id": 1, "file_name": "1.png", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 1, "name": "ring"}],
        "annotations": entries,
    }


def loaded(*segmentations: Any, **changes: Any) -> Any:
    found = reader.of(content(*segmentations), "file")
    options: dict[str, Any] = {
        "size": (HEIGHT, WIDTH), "target": (HEIGHT, WIDTH), "flip": False, "boxes": False,
        **changes,
    }  # fmt: skip
    return load_masks(found, np.arange(len(found.image)), **options)


def test_outlines_stay_outlines() -> None:
    found = loaded([TRIANGLE], [TRIANGLE], target=(16, 24))
    assert isinstance(found, PolygonMasks)
    assert (len(found), found.height, found.width) == (2, 16, 24)
    np.testing.assert_allclose(found.masks[0][0], np.array(TRIANGLE) / 2)


@pytest.mark.parametrize("flip", [False, True])
def test_run_lengths_beside_outlines_are_bitmaps(flip: bool) -> None:
    found = loaded([TRIANGLE], run_lengths(square()), flip=flip)
    assert isinstance(found, BitmapMasks)
    expected = square()[:, ::-1] if flip else square()
    np.testing.assert_array_equal(found.masks[1], expected)
    outline = loaded([TRIANGLE], flip=flip).to_bitmap().masks[0]
    assert np.mean(found.masks[0] != outline) < 0.02, "a border of pixels, by another rasteriser"
    half = loaded([TRIANGLE], run_lengths(square()), target=(16, 24), flip=flip)
    assert half.masks.shape == (2, 16, 24)
    assert abs(half.masks[1].sum() - square().sum() / 4) <= 6


def test_an_object_without_a_mask() -> None:
    for other in ([TRIANGLE], run_lengths(square())):
        with pytest.raises(
            FpnProbeError, match=r"annotations\[1\] has no segmentation.*detector without"
        ):
            loaded(other, None)
        boxes = loaded(other, None, boxes=True)
        assert boxes.to_ndarray()[1].sum() == pytest.approx(14 * 12, rel=0.25)


def test_a_crowd_has_no_mask_and_is_ignored(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    cv2.imwrite(str(tmp_path / "images/1.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    crowd = run_lengths(np.ones((HEIGHT, WIDTH), np.uint8))
    file = tmp_path / "annotations" / "train.json"
    file.write_text(json.dumps(content([TRIANGLE], run_lengths(square()), crowd)))
    images = CellImages(tmp_path, file, classes=("ring",), size=None, seed=None, masks=True)
    sample = images[0]["data_samples"]
    assert (len(sample.gt_instances), len(sample.gt_instances.masks)) == (2, 2)
    assert len(sample.ignored_instances) == 1
    assert "masks" not in sample.ignored_instances
    plain = CellImages(tmp_path, file, classes=("ring",), size=None, seed=None)
    assert "masks" not in plain[0]["data_samples"].gt_instances
