"""Settings that a study leaves to its data."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpnprobe.config import loading, overrides
from fpnprobe.data import scenes
from fpnprobe.data.annotation_file import reader
from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import COCO_BUCKETS
from fpnprobe.study.folder import dataset, study_folder
from fpnprobe.study.folder.fitting import fit_buckets, fit_size, fit_study
from tests.unit.study.conftest import content


def made(sides: list[float], images: list[tuple[int, int]] | None = None) -> Any:
    """Annotations with objects of these sides in images of these heights and widths."""
    given = images or [(2000, 2000)]
    return reader.of(
        {
            "images": [
                {"id": i, "file_name": f"{i}.jpg", "height": height, "width": width}
                for i, (height, width) in enumerate(given)
            ],
            "categories": [{"id": 1, "name": "ring"}],
            "annotations": [
                {
                    "id": n, "image_id": 0, "category_id": 1, "bbox": [0, 0, side, side],
                    "area": side**2, "iscrowd": 0,
                }
                for n, side in enumerate(sides)
            ],
        },
        "file",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("images", "limit", "size"),
    [
        ([(480, 640)], 800, 480),
        ([(480, 640)], 192, 192),
        ([(500, 375), (640, 427), (300, 900)], 800, 352),
        ([(20, 20)], 800, 64),
        ([(1080, 1920)], 300, 288),
    ],
)
def test_size_is_the_median_side(images: list[tuple[int, int]], limit: int, size: int) -> None:
    assert fit_size(made([10.0], images), limit=limit) == size


def test_coco_buckets_where_they_tell_something() -> None:
    assert fit_buckets(made([10.0, 50.0, 200.0] * 5)) == ()


def test_thirds_where_they_do_not() -> None:
    sides = np.linspace(200, 500, 301).tolist()  # all large
    found = fit_buckets(made(sides))
    assert found == (
        ("small", 0.0, 300.0**2),
        ("medium", 300.0**2, 400.0**2),
        ("large", 400.0**2, None),
    )
    assert fit_buckets(made([300.0] * 9)) == (), "one size has no thirds"
    assert fit_buckets(made([])) == ()


def test_what_is_given_stays() -> None:
    given = loading.validate(content(data={"root": "d", "size": 96}))
    assert fit_study(given, size=256, buckets=(("small", 0, None),)) is given
    auto = loading.validate(content(data={"root": "d", "size": "auto"}, buckets="auto"))
    fitted = fit_study(auto, size=256, buckets=())
    assert (fitted.data.size, fitted.detector["size"]) == (256, 256)
    assert fitted.scale_buckets() == COCO_BUCKETS
    stock = {"config": "atss_r50_fpn_1x_coco"}
    auto = loading.validate(content(data={"root": "d", "size": "auto"}, detector=stock))
    assert fit_study(auto, size=256, buckets=()).detector == stock


def test_a_size_is_not_known_before_the_data() -> None:
    auto = loading.validate(content(data={"root": "d", "size": "auto"}))
    with pytest.raises(FpnProbeError, match="were not read"):
        _ = auto.data.known_size


@pytest.mark.parametrize(
    ("schedule", "steps"),
    [
        ({"epochs": 12}, 75),
        ({"epochs": 12, "at_least": 200}, 200),
        ({"epochs": 12, "at_most": 50}, 50),
        ({"epochs": 12, "at_least": 60, "at_most": 80}, 75),
        ({"iterations": 7, "at_least": 60}, 7),
    ],
)
def test_length_within_bounds(schedule: dict[str, Any], steps: int) -> None:
    study = loading.validate(content(schedule={"batch": 4, **schedule}))
    assert dataset.iterations(study, 25) == steps


def test_bounds_that_cross_are_refused() -> None:
    with pytest.raises(FpnProbeError, match=r"at_least 9 is more than schedule\.at_most 3"):
        loading.validate(content(schedule={"epochs": 1, "at_least": 9, "at_most": 3}))


def test_a_folder_keeps_what_was_chosen(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    root = scenes.cached(train=4, val=2, size=128, seed=0)
    changes = {"data.root": str(root), "data.size": "auto", "buckets": "auto"}
    study = loading.validate(overrides.apply(content(), changes))
    source = dataset.prepare(study, out=tmp_path / "out")
    result = study_folder.of(study, source=source, out=tmp_path / "out")
    assert result.study.data.size == 128
    assert [b.name for b in result.study.scale_buckets()] == ["small", "medium", "large"]
    assert result.study.scale_buckets() != COCO_BUCKETS, "scenes of 128 px hold no large objects"
    assert all(sum(counts) for counts in source.by_bucket)
    result.write()
    again = study_folder.read(tmp_path / "out")
    assert again.study == result.study
    fresh = study_folder.of(study, source=source, out=tmp_path / "out")
    assert [c.key for c in fresh.cells] == [c.key for c in again.cells]
