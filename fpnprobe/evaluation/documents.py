"""JSON documents from disk, plain or gzipped, with errors that a user can act on."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from fpnprobe.errors import FpnProbeError


def read_json(path: str | Path) -> Any:
    """Content of a `.json` or `.json.gz` file.

    Raises:
        FpnProbeError: if the file is missing, unreadable, cut off or not JSON.
    """
    source = Path(path)
    try:
        content = source.read_bytes()
    except OSError as error:
        raise FpnProbeError(
            f"cannot read {source}: {error.strerror}; give the path of a COCO JSON file"
        ) from error
    try:
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        return json.loads(content)
    except (ValueError, EOFError, OSError, RecursionError, zlib.error) as error:
        raise FpnProbeError(
            f"{source} is not complete JSON ({error}): is the file cut off? write it again"
        ) from error
