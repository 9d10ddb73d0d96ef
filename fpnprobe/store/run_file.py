"""`fpnprobe.json`: what a training says of itself beside its ledger; with it a folder is a run.

The hook and `fpnprobe.watch` write it when a training starts, at every checkpoint and at the end.
`fpnprobe.open`, `report`, `compare`, `status` and `attribute` read it.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import ScaleBucket
from fpnprobe.store import atomic
from fpnprobe.store.documents import read_object
from fpnprobe.store.installed import versions

NAME = "fpnprobe.json"
FORMAT = 1


class RunFile:
    """Writes the `fpnprobe.json` of one training; what it was told last is on disk.

    Args:
        folder: Folder of the ledger.
        content: What is known at the start; keys as in `describe_run`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = RunFile(folder, describe_run(made_by="watch", variant="FPN"))
    ...     file.update(state="done", iteration=30)
    ...     read_run_file(folder)["iteration"]
    30
    """

    def __init__(self, folder: str | Path, content: Mapping[str, Any]) -> None:
        self._path = Path(folder) / NAME
        self.content = dict(content)
        self.update()

    def update(self, **changes: Any) -> None:
        """Change keys and write the file."""
        self.content.update(changes)
        atomic.write_json(self._path, self.content)


def describe_run(
    *,
    made_by: str,
    variant: str,
    seed: int = 0,
    study: str = "",
    config: Mapping[str, Any] | None = None,
    buckets: Sequence[ScaleBucket] = (),
    iterations: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The content of a run file at the start of a training.

    Args:
        made_by: `GradientProbeHook` or `watch`.
        variant: What reports call the run.
        seed: Its seed.
        study: Study, a column of the ledger.
        config: What it was trained from: `file`, and `model` as data.
        buckets: Scale buckets.
        iterations: Its length, where it is known.
        more: Further keys: `stages`, `device`, `annotations`, `detections`, `classes`,
            `category_ids` (of the classes, in the annotations), `images`.
    """
    return {
        "format": FORMAT,
        "made_by": made_by,
        "study": study,
        "variant": variant,
        "seed": seed,
        "config": dict(config or {}),
        "process": {"pid": os.getpid(), "host": socket.gethostname()},
        "state": "running",
        "reason": "",
        "iteration": 0,
        "iterations": iterations,
        "buckets": [[b.name, b.low, None if b.high == float("inf") else b.high] for b in buckets],
        "probe": {},
        "timings": {},
        "versions": dict(versions()),
        **more,
    }


def read_run_file(folder: str | Path) -> dict[str, Any]:
    """The content of a folder's run file.

    Raises:
        FpnProbeError: If it is missing, is no JSON object, or was written by a later fpnprobe.
    """
    path = Path(folder) / NAME
    content = read_object(path)
    if not isinstance(content.get("format"), int):
        raise FpnProbeError(f"{path} is no run file: expected an object with a format number")
    if content["format"] > FORMAT:
        raise FpnProbeError(
            f"{path} has format {content['format']}, this fpnprobe reads up to {FORMAT}: install a "
            "later fpnprobe"
        )
    return content
