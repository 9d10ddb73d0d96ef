"""The decoder of every step, and what its C libraries say about a file beside its picture."""

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

MOST_PIXELS = 2**28  # of 8 bits a channel, half as many of 16: more take over 2 GB to decode


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A file as the decoder gives it.

    Attributes:
        pixels: `(H, W, 3)` in BGR order; None where it cannot be decoded.
        cut: Whether the file ends too soon, so that libjpeg has filled what is missing with gray.
    """

    pixels: npt.NDArray[np.uint8] | None
    cut: bool


def read_picture(file: Path, read_messages: Callable[[], str]) -> Picture:
    """Decode a file as the training does, inside `read_messages` of `quiet_decoder`."""
    read_messages()
    try:
        pixels = cv2.imread(str(file), cv2.IMREAD_COLOR)
    except cv2.error:  # larger than it decodes
        pixels = None
    cut = "premature end" in read_messages().lower()
    return Picture(None if pixels is None else np.asarray(pixels, dtype=np.uint8), cut)


def explain_failure(file: Path, picture: Picture) -> str:
    """Say why a picture is not whole; Pillow says more than the decoder."""
    if picture.pixels is not None:
        return "it is cut off"
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file) as opened:
            opened.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return " ".join(str(error).split())[:120]
    return "OpenCV cannot decode it"


@contextlib.contextmanager
def quiet_decoder() -> Iterator[Callable[[], str]]:
    """Catch what C libraries write to stderr inside; yields a function that reads it.

    OpenCV gives no warning back to Python: that a JPEG is cut off is only printed, by libjpeg.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        before = os.dup(2)
    except OSError:  # a process without stderr
        yield lambda: ""
        return
    with tempfile.TemporaryFile() as sink:

        def told() -> str:
            if not sink.seek(0, os.SEEK_END):
                return ""
            sink.seek(0)
            text = sink.read().decode(errors="replace")
            sink.seek(0)
            sink.truncate()
            return text

        os.dup2(sink.fileno(), 2)
        try:
            yield told
        finally:
            os.dup2(before, 2)
            os.close(before)
