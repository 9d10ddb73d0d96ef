"""Headers say what the decoder of the training sees, or nothing."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from fpnprobe.data import images
from fpnprobe.data.headers import read_header
from fpnprobe.data.problems import Notice
from fpnprobe.errors import FpnProbeError

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)


def save(file: Path, orientation: int = 1, **options: Any) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(file, exif=exif, **options)
    return file


def check(file: Path, height: int, width: int) -> tuple[Notice, ...]:
    return images.check(file.parent, [file.name], np.array([[height, width]]))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("name", "options"),
    [("a.jpg", {}), ("a.jpg", {"progressive": True}), ("a.png", {}),
     ("a.jpg", {"icc_profile": bytes(70_000)}), ("a.png", {"icc_profile": bytes(9_000)})],
)  # fmt: skip
def test_size_and_orientation(
    tmp_path: Path, orientation: int, name: str, options: dict[str, Any]
) -> None:
    file = save(tmp_path / name, orientation, **options)
    header = read_header(file)
    assert header is not None
    assert (header.size, header.orientation, header.bits, header.whole) == (
        (40, 56), orientation, 8, True,
    )  # fmt: skip
    decoded = cv2.imread(str(file))
    assert decoded is not None
    assert decoded.shape[:2] == ((56, 40) if orientation >= 5 else (40, 56))


@pytest.mark.parametrize("name", ["a.webp", "a.tif", "a.gif", "a.bmp"])
def test_other_kinds_are_not_answered(tmp_path: Path, name: str) -> None:
    assert read_header(save(tmp_path / name)) is None
    assert check(tmp_path / name, 40, 56) == ()


def test_what_the_size_does_not_tell_is_refused(tmp_path: Path) -> None:
    """Turned by half, no size says whether the boxes are turned as well."""
    with pytest.raises(FpnProbeError, match="their size does not tell whether their boxes are"):
        check(save(tmp_path / "a.jpg", 3), 40, 56)


def test_images_beside_it_that_tell_are_believed(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", 3)
    save(tmp_path / "b.jpg", 6)
    sizes = np.array([[40, 56], [56, 40]])
    (notice,) = images.check(tmp_path, ["a.jpg", "b.jpg"], sizes)
    assert notice.line().startswith("2 of 2 images are turned by their EXIF tag, as their boxes")


def test_turned_pixels_never_lie_under_unturned_boxes(tmp_path: Path) -> None:
    with pytest.raises(FpnProbeError, match=r"its EXIF tag .orientation 6. turns it"):
        check(save(tmp_path / "a.jpg", 6), 40, 56)
    with pytest.raises(FpnProbeError, match="its annotation says 40 x 56"):
        check(save(tmp_path / "a.webp", 6), 56, 40)  # the decoder does not turn this kind


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.gif", "a.bmp"])
@pytest.mark.parametrize("share", [0.5, 0.98])
def test_what_is_cut_off_is_refused(tmp_path: Path, name: str, share: float) -> None:
    file = save(tmp_path / name)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(FpnProbeError, match=f"{name} cannot be read as an image"):
        check(file, 40, 56)


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_numbers_that_are_no_colors_are_refused(tmp_path: Path, kind: type) -> None:
    Image.fromarray(PIXELS[..., 0].astype(kind)).save(tmp_path / "a.tif")
    with pytest.raises(FpnProbeError, match=r"no colors from 0 to 255|cannot be read as an image"):
        check(tmp_path / "a.tif", 40, 56)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bits_are_told(tmp_path: Path, name: str) -> None:
    cv2.imwrite(str(tmp_path / name), PIXELS.astype(np.uint16) * 257)
    (notice,) = check(tmp_path / name, 40, 56)
    assert "16 bits a channel" in notice.line()
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / name)), PIXELS)
