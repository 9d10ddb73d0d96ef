"""Removes what a training wrote that was refused before its first iteration."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from mmengine.dist import is_main_process

from fpnprobe.errors import FpnProbeError


@contextlib.contextmanager
def remove_if_refused(folder: Path, *, has_begun: Callable[[], bool]) -> Iterator[None]:
    """Leave a work_dir as it was where an `FpnProbeError` comes before the first iteration.

    mmengine makes the folder, a log in a folder named by the date, and a copy of the config before
    it builds the data and the hooks that may be refused. What a training has begun stays.

    Args:
        folder: The work_dir, which may not exist yet.
        has_begun: Whether an iteration was begun.
    """
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    entries = set(folder.iterdir()) if folder.is_dir() else set[Path]()
    configs = {file: file.read_bytes() for file in entries if file.suffix == ".py"}
    try:
        yield
    except FpnProbeError:
        if is_main_process() and not has_begun():
            _restore(folder, entries, configs)
            for path in new_folders:  # the deepest first
                with contextlib.suppress(OSError):  # somebody else put something there
                    path.rmdir()
        raise


def _restore(folder: Path, entries: set[Path], configs: dict[Path, bytes]) -> None:
    """Remove what is new in a folder; write the configs back that were dumped over."""
    for path in set(folder.iterdir()) - entries if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    for file, content in configs.items():
        if file.read_bytes() != content:
            file.write_bytes(content)
