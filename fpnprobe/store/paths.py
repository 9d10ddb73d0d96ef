"""Paths in stored files: relative where both ends lie in one project, so that it can be moved."""

import os
from pathlib import Path


def to_stored(path: str | Path, *, study: str | Path) -> str:
    """Return the text by which a study's files name `path`: relative to its folder, or absolute.

    It is relative where both lie in the working directory, which is then taken for one project.

    Args:
        path: A file or folder.
        study: The output folder of the study.

    >>> to_stored("data/scenes/val.json", study="reports/quickstart")
    '../../data/scenes/val.json'
    >>> to_stored("/datasets/coco", study="reports/quickstart")
    '/datasets/coco'
    """
    absolute, home = _make_absolute(path), Path.cwd()
    folder = _make_absolute(study)
    if not (absolute.is_relative_to(home) and folder.is_relative_to(home)):
        return str(absolute)
    return Path(os.path.relpath(absolute, folder)).as_posix()


def from_stored(text: str, *, study: str | Path) -> Path:
    """The path that `to_stored` gave a name to.

    >>> from_stored("/datasets/coco", study="reports/quickstart").as_posix()
    '/datasets/coco'
    """
    return _make_absolute(Path(study) / text)


def _make_absolute(path: str | Path) -> Path:
    """Absolute, without `..`; symbolic links stay as they are."""
    return Path(os.path.normpath(Path(path).absolute()))
