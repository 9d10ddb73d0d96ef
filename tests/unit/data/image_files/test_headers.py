"""Headers say what the decoder of the training sees, or nothing."""

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from fpnprobe.data.annotation_file.problems import Notice
from fpnprobe.data.image_files import images, pixels
from fpnprobe.data.image_files.headers import read_header
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


def with_proper_ending(file: Path, share: float) -> Path:
    """Cut a file, and put the ending of a whole one behind the cut."""
    whole = file.read_bytes()
    ending = whole[-2:] if file.suffix == ".jpg" else whole[-12:]
    file.write_bytes(whole[: int(len(whole) * share)] + ending)
    return file


def check_large(monkeypatch: pytest.MonkeyPatch, file: Path, *, decode: bool) -> tuple[Notice, ...]:
    """Check a file as one of a set that is too large to be decoded by default."""
    monkeypatch.setattr(images, "_SMALL", (0, 0))
    return images.check(file.parent, [file.name], np.array([[40, 56]]), decode=decode)


def test_a_cut_file_with_a_proper_ending_is_found_by_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = with_proper_ending(save(tmp_path / "a.jpg"), 0.5)
    assert check_large(monkeypatch, file, decode=False) == ()
    with pytest.raises(FpnProbeError, match=r"a.jpg cannot be read .*it is cut off"):
        check_large(monkeypatch, file, decode=True)


def test_a_set_that_was_decoded_is_not_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FPNPROBE_CACHE", str(tmp_path / "cache"))
    file, opened = save(tmp_path / "a.jpg"), list[int]()
    monkeypatch.setattr(images, "_SMALL", (0, 0))
    for decode in (False, False, True, True, False):
        images.check(
            tmp_path, [file.name], np.array([[40, 56]]), decode=decode,
            on_file=lambda: opened.append(1),
        )  # fmt: skip
    assert len(opened) == 2


def test_a_png_without_some_of_its_chunks_is_found_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = with_proper_ending(save(tmp_path / "a.png"), 0.5)
    header = read_header(file)
    assert header is not None
    assert not header.whole
    with pytest.raises(FpnProbeError, match=r"a.png cannot be read as an image"):
        check_large(monkeypatch, file, decode=False)


def test_training_says_that_an_image_is_cut_off_or_refuses_to_keep_it(tmp_path: Path) -> None:
    file = with_proper_ending(save(tmp_path / "a.jpg"), 0.5)
    with pytest.warns(UserWarning, match=r"a.jpg is cut off; what is missing is gray"):
        found = pixels.decode(file, (40, 56))
    assert found.shape == (40, 56, 3)
    with pytest.raises(FpnProbeError, match=r"a.jpg cannot be read .*it is cut off"):
        pixels.store([file], np.array([[40, 56]]), size=None, cache=True)


def png_of_zeros(file: Path, side: int) -> Path:
    """A picture of few bytes and many pixels."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * side)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = [
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    ]
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return file


def test_a_picture_that_takes_gigabytes_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = png_of_zeros(tmp_path / "a.png", 64)
    assert check(file, 64, 64) == ()
    whole = file.read_bytes()
    file.write_bytes(whole[:16] + struct.pack(">II", 20_000, 20_000) + whole[24:])
    monkeypatch.setattr(cv2, "imread", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(FpnProbeError, match=r"20000 x 20000 px of 8 bits .* cut it into tiles"):
        check(file, 20_000, 20_000)
    Image.new("1", (20_000, 20_000)).save(tmp_path / "a.tif", compression="group4")
    with pytest.raises(FpnProbeError, match=r"a.tif is too large to decode .*cut it into tiles"):
        check(tmp_path / "a.tif", 20_000, 20_000)


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
