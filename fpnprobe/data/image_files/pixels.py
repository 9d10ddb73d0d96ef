"""Decoded images at the training size, as uint8, in one memory-mapped file per data set."""

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fpnprobe.data.cache import folder as cache_folder
from fpnprobe.data.image_files.decoder import explain_failure, quiet_decoder, read_picture
from fpnprobe.errors import FpnProbeError
from fpnprobe.store import atomic

Pixels = npt.NDArray[np.uint8]
_AUTO_LIMIT = 4 * 2**30  # bytes: generated scenes and subsets fit, COCO at 800 px does not


def target_size(height: int, width: int, size: int | tuple[int, int] | None) -> tuple[int, int]:
    """(height, width) in px after resizing with the aspect ratio kept.

    `size` is the short side, whose long side is at most 5/3 of it (as in 1333 x 800), or
    (short, long), or None for no change.

    >>> target_size(480, 640, 320), target_size(100, 900, 300), target_size(7, 9, None)
    ((320, 427), (56, 500), (7, 9))
    """
    if size is None:
        return height, width
    short, long = (size, size * 5 // 3) if isinstance(size, int) else size
    scale = min(short / min(height, width), long / max(height, width))
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def decode(path: Path, shape: tuple[int, int], *, strict: bool = False) -> Pixels:
    """The image as (H, W, 3) uint8 in BGR order at `shape` = (H, W).

    One that is cut off is gray where it is missing; that is a warning, once for each file, so that
    no long training ends by it, or an error where `strict`.

    Raises:
        FpnProbeError: If the file is not an image.
    """
    with quiet_decoder() as read_messages:
        picture = read_picture(path, read_messages)
    image = picture.pixels
    if image is None or (strict and picture.cut):
        raise FpnProbeError(
            f"{path} cannot be read as an image ({explain_failure(path, picture)}): replace it or "
            "remove it"
        )
    if picture.cut:
        warnings.warn(f"{path} is cut off; what is missing is gray", stacklevel=2)
    if image.shape[:2] != shape:
        image = cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(image, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class ImageStore:
    """Images by index: from the memory-mapped cache where there is one, else decoded each time."""

    paths: tuple[Path, ...]
    shapes: tuple[tuple[int, int], ...]
    cache: Path | None

    def __len__(self) -> int:
        return len(self.paths)

    def mapped(self) -> npt.NDArray[np.uint8] | None:
        """The flat cache, memory-mapped, or None."""
        return None if self.cache is None else np.load(self.cache, mmap_mode="r")

    def offsets(self) -> list[int]:
        """First byte of each image in the cache."""
        sizes = [height * width * 3 for height, width in self.shapes]
        return [0, *np.cumsum(sizes).tolist()]


def store(
    paths: Sequence[Path],
    sizes: npt.NDArray[np.int64],
    *,
    size: int | tuple[int, int] | None,
    cache: bool | str = "auto",
) -> ImageStore:
    """Image files at the training size, cached unless they take over 4 GiB.

    Args:
        paths: The image files.
        sizes: Their height and width in px, `(I, 2)`.
        size: See `target_size`.
        cache: True, False, or "auto" for the limit above.
    """
    files = tuple(paths)
    shapes = tuple(target_size(height, width, size) for height, width in sizes.tolist())
    total = sum(height * width * 3 for height, width in shapes)
    if cache is False or (cache == "auto" and total > _AUTO_LIMIT):
        return ImageStore(files, shapes, None)
    file = cache_folder() / "pixels" / f"{_hash_identity(files, shapes)}.npy"
    result = ImageStore(files, shapes, file)
    if not file.is_file():
        atomic.write(file, lambda out: _fill_pixels(out, result, total))
    return result


def _fill_pixels(out: Any, images: ImageStore, total: int) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (total,)}
    np.lib.format.write_array_header_1_0(out, header)  # type: ignore[no-untyped-call]
    for path, shape in zip(images.paths, images.shapes, strict=True):
        out.write(decode(path, shape, strict=True).tobytes())


def _hash_identity(paths: Sequence[Path], shapes: Sequence[tuple[int, int]]) -> str:
    """Hash of which files, of what length and time, at which size."""
    facts = []
    for path, shape in zip(paths, shapes, strict=True):
        try:
            status = path.stat()
        except OSError as error:
            raise FpnProbeError(f"image {path} cannot be read: {error.strerror}") from error
        facts.append([str(path.resolve()), status.st_size, status.st_mtime_ns, shape])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
