"""Every object has a class and an area of its own, so the class says which area is right."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import fpnprobe.mm  # noqa: F401
from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.object_areas.carry import carry_areas, decode, encode

# pycocotools decodes masks through numpy 1's __array__ signature
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

IMAGES, OBJECTS, SIZE = 6, 5, 64
AREA = {k: 10.0 + 7.25 * k for k in range(IMAGES * OBJECTS)}  # by class, unlike any box


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for i in range(IMAGES):
        cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8))
        images.append({"id": 10 + i, "file_name": f"{i}.png", "width": SIZE, "height": SIZE})
        for k in range(OBJECTS):
            x, y = (int(v) for v in rng.integers(0, 36, 2))
            w, h = (int(v) for v in rng.integers(8, 28, 2))
            klass = i * OBJECTS + k
            corners = [x, y, x + w, y, x + w, y + h, x, y + h]
            annotations.append(
                {
                    "id": klass + 1,
                    "image_id": 10 + i,
                    "category_id": klass + 1,
                    "bbox": [x, y, w, h],
                    "area": AREA[klass],
                    "iscrowd": int(k == 4 and i == 1),
                    "segmentation": [corners],
                }
            )
    # mmdet skips these three; the table of areas must skip them too
    spoiled: list[dict[str, Any]] = [{"area": 0}, {"ignore": True}, {"bbox": [1, 1, 0.5, 9]}]
    for n, change in enumerate(spoiled):
        annotations.insert(n, {**annotations[n], "id": 900 + n, **change})
    categories = [{"id": k + 1, "name": f"c{k}"} for k in AREA]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "train.json").write_text(json.dumps(content))
    return folder


LOAD: list[dict[str, Any]] = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadAnnotations", "with_bbox": True},
]
MASKS: list[dict[str, Any]] = [LOAD[0], {**LOAD[1], "with_mask": True}]
PACK: list[dict[str, Any]] = [{"type": "PackDetInputs"}]
PLAIN: dict[str, list[dict[str, Any]]] = {
    "Resize": [{"type": "Resize", "scale": (96, 80), "keep_ratio": True}],
    "RandomFlip": [{"type": "RandomFlip", "prob": 0.5}],
    "RandomCrop": [{"type": "RandomCrop", "crop_size": (30, 30)}],
    "MinIoURandomCrop": [{"type": "MinIoURandomCrop"}],
    "FilterAnnotations": [
        {"type": "RandomCrop", "crop_size": (40, 40)},
        {"type": "FilterAnnotations", "min_gt_bbox_wh": (9, 9)},
    ],
    "RandomAffine": [{"type": "RandomAffine"}],
    "Expand": [{"type": "Expand", "prob": 1.0}],
    "RandomChoice": [
        {
            "type": "RandomChoice",
            "transforms": [
                [{"type": "Resize", "scale": (48, 48)}],
                [{"type": "RandomCrop", "crop_size": (40, 40)}],
            ],
        }
    ],
    "CachedMosaic": [{"type": "CachedMosaic", "img_scale": (64, 64), "prob": 1.0}],
    "CachedMixUp": [{"type": "CachedMixUp", "img_scale": (64, 64), "prob": 1.0}],
    "RandomErasing": [
        {"type": "RandomErasing", "n_patches": 2, "ratio": 0.3, "bbox_erased_thr": 0.2}
    ],
    "CutOut": [{"type": "CutOut", "n_holes": 2, "cutout_shape": (8, 8)}],
    "YOLOXHSVRandomAug": [{"type": "YOLOXHSVRandomAug"}],
    "Pad": [{"type": "Pad", "size_divisor": 32}],
}
MIXED: dict[str, list[dict[str, Any]]] = {
    "Mosaic": [{"type": "Mosaic", "img_scale": (64, 64), "prob": 1.0}],
    "MixUp": [{"type": "MixUp", "img_scale": (64, 64)}],
    "CopyPaste": [{"type": "CopyPaste", "max_num_pasted": 4}],
    "MosaicAffineMixUp": [
        {"type": "Mosaic", "img_scale": (64, 64)},
        {"type": "RandomAffine", "border": (-32, -32)},
        {"type": "MixUp", "img_scale": (64, 64)},
        {"type": "FilterAnnotations", "min_gt_bbox_wh": (2, 2)},
    ],
}


def coco(root: Path, pipeline: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "CocoDataset",
        "ann_file": str(root / "train.json"),
        "data_prefix": {"img": str(root)},
        "metainfo": {"classes": tuple(f"c{k}" for k in AREA)},
        "pipeline": pipeline,
    }


def build(config: dict[str, Any]) -> Any:
    from mmdet.registry import DATASETS
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    return DATASETS.build(config)


def samples(dataset: Any, rounds: int = 3) -> list[Any]:
    np.random.seed(0)  # noqa: NPY002 - the transforms draw from the global generators
    torch.manual_seed(0)
    import random

    random.seed(0)
    return [dataset[i]["data_samples"] for _ in range(rounds) for i in range(len(dataset))]


def assert_areas_follow_their_objects(config: dict[str, Any]) -> None:
    plain = samples(build(config))
    dataset = build(config)
    with carry_areas(dataset):
        carried = samples(dataset)
    assert sum(len(sample.gt_instances) for sample in carried) > 10
    for one, other in zip(plain, carried, strict=True):
        for kind in ("gt_instances", "ignored_instances"):
            expected, given = getattr(one, kind), getattr(other, kind)
            assert torch.equal(expected.labels, given.labels)
            assert torch.equal(expected.bboxes.tensor, given.bboxes.tensor)
            assert given.areas.dtype == torch.float64
            assert given.areas.tolist() == [AREA[k] for k in given.labels.tolist()]
    assert all("areas" not in sample.gt_instances for sample in samples(dataset, 1))


@pytest.mark.parametrize("name", PLAIN)
def test_areas_follow_their_objects(root: Path, name: str) -> None:
    assert_areas_follow_their_objects(coco(root, [*LOAD, *PLAIN[name], *PACK]))


@pytest.mark.parametrize("name", MIXED)
def test_areas_follow_their_objects_through_mixtures(root: Path, name: str) -> None:
    config = {
        "type": "MultiImageMixDataset",
        "dataset": coco(root, MASKS if name == "CopyPaste" else LOAD),
        "pipeline": [*MIXED[name], *PACK],
    }
    assert_areas_follow_their_objects(config)


def test_wrapped_datasets_with_unlike_files_do_not_mix_up_rows(root: Path) -> None:
    half = {**coco(root, [*LOAD, *PACK]), "indices": [1, 4]}
    parts = [{"type": "RepeatDataset", "dataset": half, "times": 2}, coco(root, [*LOAD, *PACK])]
    assert_areas_follow_their_objects({"type": "ConcatDataset", "datasets": parts})


@pytest.mark.parametrize("workers", [0, 1])
def test_areas_come_out_of_a_loader(root: Path, workers: int) -> None:
    dataset = build(coco(root, [*LOAD, *PLAIN["RandomCrop"], *PACK]))
    with carry_areas(dataset):
        loader = DataLoader(dataset, batch_size=2, num_workers=workers, collate_fn=list)
        given = [item["data_samples"].gt_instances for batch in loader for item in batch]
    assert len(given) == IMAGES
    for one in given:
        assert one.areas.tolist() == [AREA[k] for k in one.labels.tolist()]


def test_an_exchanged_pipeline_is_refreshed(root: Path) -> None:
    from mmengine.dataset import Compose

    dataset = build(coco(root, [*LOAD, *PACK]))
    before = dataset.pipeline
    with carry_areas(dataset) as refresh:
        dataset.pipeline = Compose([*LOAD, *PLAIN["Resize"], *PACK])
        assert "areas" not in dataset[0]["data_samples"].gt_instances
        refresh()
        assert "areas" in dataset[0]["data_samples"].gt_instances
    assert "areas" not in dataset[0]["data_samples"].gt_instances
    dataset.pipeline = before
    assert "areas" not in dataset[0]["data_samples"].gt_instances


def test_pipelines_are_restored_when_the_body_raises(root: Path) -> None:
    dataset = build(coco(root, [*LOAD, *PACK]))
    with pytest.raises(KeyError, match="stop"), carry_areas(dataset):
        raise KeyError("stop")
    assert "areas" not in dataset[0]["data_samples"].gt_instances


def test_caches_hold_plain_labels_afterwards(root: Path) -> None:
    dataset = build(coco(root, [*LOAD, *PLAIN["CachedMosaic"], *PACK]))
    with carry_areas(dataset):
        samples(dataset)
    for sample in samples(dataset):
        assert set(sample.gt_instances.labels.tolist()) <= set(AREA)


class RenamesLabels:
    """Reads label values: what a user's transform may do."""

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        results["gt_bboxes_labels"] = results["gt_bboxes_labels"] * 0 + 1
        return results


class MovesLabels:
    keeps_labels = True

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        order = np.arange(len(results["gt_bboxes_labels"]))[::-1].copy()
        for key in ("gt_bboxes", "gt_bboxes_labels", "gt_ignore_flags"):
            results[key] = results[key][order]
        return results


class Halves(MovesLabels):
    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        results["gt_bboxes_labels"] = results["gt_bboxes_labels"].astype(np.float32)
        results["gt_bboxes_labels"] = results["gt_bboxes_labels"].astype(np.int64)
        return results


def with_transform(root: Path, transform: Any) -> Any:
    dataset = build(coco(root, [*LOAD, *PACK]))
    dataset.pipeline.transforms.insert(2, transform)
    return dataset


def test_a_transform_that_reads_labels_is_named(root: Path) -> None:
    with (
        pytest.raises(FpnProbeError, match="RenamesLabels is unknown and mentions labels"),
        carry_areas(with_transform(root, RenamesLabels())),
    ):
        pass
    from mmdet.registry import TRANSFORMS

    reader = TRANSFORMS.get("RandomSamplingNegPos")
    with (
        pytest.raises(FpnProbeError, match="RandomSamplingNegPos reads class labels"),
        carry_areas(with_transform(root, reader.__new__(reader))),
    ):
        pass


def test_a_user_transform_that_keeps_labels_is_followed(root: Path) -> None:
    dataset = with_transform(root, MovesLabels())
    with carry_areas(dataset):
        given = dataset[0]["data_samples"].gt_instances
    assert given.areas.tolist() == [AREA[k] for k in given.labels.tolist()] != sorted(given.areas)


def test_spoiled_labels_are_noticed_while_loading(root: Path) -> None:
    dataset = with_transform(root, Halves())
    with carry_areas(dataset), pytest.raises(FpnProbeError, match="Halves"):
        samples(dataset)


def test_what_cannot_be_followed_is_refused(root: Path) -> None:
    for pipeline, message in [
        (LOAD, "PackDetInputs"),
        ([LOAD[0], *PACK], "LoadAnnotations"),
    ]:
        with (
            pytest.raises(FpnProbeError, match=f"expected one .*{message}"),
            carry_areas(build(coco(root, pipeline))),
        ):
            pass
    with pytest.raises(FpnProbeError, match="not an mmdet dataset"), carry_areas([1, 2]):
        pass


def test_a_dataset_that_keeps_the_area_needs_no_file(root: Path) -> None:
    dataset = build({**coco(root, [*LOAD, *PACK]), "serialize_data": False})
    for info in dataset.data_list:
        for instance in info["instances"]:
            instance["area"] = AREA[instance["bbox_label"]] + 1
    dataset.ann_file = "gone.json"
    with carry_areas(dataset):
        given = dataset[0]["data_samples"].gt_instances
    assert given.areas.tolist() == [AREA[k] + 1 for k in given.labels.tolist()]


def test_no_area_at_all_is_refused(root: Path) -> None:
    dataset = build(coco(root, [*LOAD, *PACK]))
    dataset.ann_file = str(root / "gone.json")
    with pytest.raises(FpnProbeError, match="no COCO annotation file"), carry_areas(dataset):
        pass


def test_areas_of_boxes_are_taken_where_asked(root: Path) -> None:
    """For data sets without areas, such as VOC: in px^2 of the original image."""
    dataset = build(coco(root, [*LOAD, {"type": "Resize", "scale": (96, 96)}, *PACK]))
    with carry_areas(dataset, area="box"):
        truth = dataset[0]["data_samples"].gt_instances
    boxes = truth.bboxes.numpy() / (96 / SIZE)
    sides = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(truth.areas.numpy(), sides.prod(axis=1), rtol=1e-6)


def test_any_arithmetic_on_codes_is_seen() -> None:
    codes = encode(np.array([3, 79]), np.array([0, 2**21]))
    halved = codes.astype(np.float32).astype(np.int64)
    spoiled: list[Any] = [codes + 1, codes * 0, halved, codes * 1.0]
    for changed in spoiled:
        with pytest.raises(ValueError, match="no identity"):
            decode(changed)
