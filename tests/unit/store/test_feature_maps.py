from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fpnprobe.errors import FpnProbeError
from fpnprobe.store.feature_maps import Features, stored_images


def features() -> Features:
    values = np.zeros((4, 8))
    values[0, 0] = 2.0  # inside the first box
    values[3, 7] = 1.0  # outside of both
    return Features(
        image_id=9,
        maps={"C2": values},
        boxes=np.array([[0, 0, 10, 10], [20, 10, 40, 30]], dtype=float),
        areas=np.array([100.0, 400.0]),
        labels=np.array([0, 3]),
        size=(80, 40),
        image=np.zeros((4, 8, 3), dtype=np.uint8),
        compactness={"P2": 0.125},
    )


def test_energy_in_boxes() -> None:
    (row,) = features().in_boxes().to_dict("records")
    assert row["bucket"] == "small"
    assert row["energy"] == pytest.approx(4 / 5)
    assert row["area"] == pytest.approx((1 + 4) / 32)  # one cell, and two by two
    assert row["contrast"] == pytest.approx(4 / 5 / (5 / 32))


def test_a_flat_map_has_contrast_one() -> None:
    found = features()
    flat = Features(9, {"P3": np.ones((4, 8))}, found.boxes, found.areas, found.labels, (80, 40),
                    found.image)  # fmt: skip
    assert flat.in_boxes()["contrast"].to_numpy() == pytest.approx(1)


def test_written_and_read_again(tmp_path: Path) -> None:
    found = features()
    file = found.write(tmp_path)
    again = Features.read(file)
    np.testing.assert_array_equal(again.maps["C2"], found.maps["C2"])
    np.testing.assert_array_equal(again.boxes, found.boxes)
    assert (again.image_id, again.size) == (9, (80, 40))
    assert again.compactness == {"P2": 0.125}
    assert stored_images(tmp_path) == (9,)
    assert repr(again) == "Features(image 9, 2 objects, C2 4x8)"
    assert "contrast" in again._repr_html_()


def test_files_of_before_compactness_have_none(tmp_path: Path) -> None:
    file = replace(features(), compactness={}).write(tmp_path)
    assert not [name for name in np.load(file).files if "compact" in name]
    assert Features.read(file).compactness == {}


def test_images_have_numbers(tmp_path: Path) -> None:
    for name in ("7", "12", "²", "x"):
        (tmp_path / f"{name}.npz").touch()
    assert stored_images(tmp_path) == (7, 12)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"not a zip"])
def test_a_broken_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "3.npz"
    file.write_bytes(content)
    with pytest.raises(FpnProbeError, match="holds no features"):
        Features.read(file)
    with pytest.raises(FpnProbeError, match="holds no features"):
        Features.read(tmp_path / "4.npz")
