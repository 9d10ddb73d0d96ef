"""Digests of a cell's files, so that damage after the fact is noticed where a file is used."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fpnprobe.errors import FpnProbeError

_NOT_RESULTS = (
    "manifest.json",
    "lock",
    "log.txt",
    "progress.json",
    "attribution.parquet",
    "resume.pt",
)


def digest_file(path: Path) -> dict[str, Any]:
    """Return size and SHA-256 of a file.

    Raises:
        FpnProbeError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            sha = hashlib.file_digest(file, "sha256")
            return {"bytes": file.tell(), "sha256": sha.hexdigest()}
    except OSError as error:
        raise FpnProbeError(f"cannot read {path}: {error.strerror}") from error


def digest_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the digests of a cell's results by their names in its folder.

    Left out are the manifest that holds them, what is written while a cell runs, and what
    `fpnprobe attribute` writes later.
    """
    return {
        file.relative_to(folder).as_posix(): digest_file(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in _NOT_RESULTS and not file.name.startswith(".")
    }


def find_damage(
    folder: Path, digests: Mapping[str, Any], names: Iterable[str] | None = None
) -> dict[str, str]:
    """Return the files that are "missing" or "changed" since their digests were made.

    Args:
        folder: The cell's folder.
        digests: As `digest_folder` made them.
        names: Only these files, of those that have a digest; all by default.
    """
    computed: dict[str, str] = {}
    names_to_read = digests if names is None else [name for name in names if name in digests]
    for name in names_to_read:
        path, expected = folder / name, digests[name]
        inside = path.resolve().is_relative_to(folder.resolve())
        if not inside or not path.is_file():
            computed[name] = "missing"
        elif not isinstance(expected, Mapping) or digest_file(path) != dict(expected):
            computed[name] = "changed"
    return computed
