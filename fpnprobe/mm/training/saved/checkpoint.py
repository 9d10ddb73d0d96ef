"""The whole state of a training, so that going on gives the bits of never having stopped."""

import random
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from mmengine.dist import all_gather_object, is_main_process
from mmengine.model import is_model_wrapper

from fpnprobe.errors import FpnProbeError
from fpnprobe.store import atomic

RESUME, FINAL = "resume.pt", "final.pt"
_PARTS = ("model", "optimizer", "schedulers", "random", "hooks", "iteration", "seconds")


def random_states() -> dict[str, Any]:
    """States of Python's, numpy's and torch's generators, as data that holds no code."""
    version, state, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 - mmdet's
    states: dict[str, Any] = {
        "python": [version, list(state), gauss],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Undo everything that drew random numbers since `random_states`."""
    version, state, gauss = states["python"]
    random.setstate((version, tuple(state), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state(  # noqa: NPY002 - the global generator that mmdet draws from
        (name, np.asarray(keys, dtype=np.uint32), position, has_gauss, cached)
    )
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def bare(model: torch.nn.Module) -> torch.nn.Module:
    """The model inside a wrapper for several processes."""
    return model.module if is_model_wrapper(model) else model  # type: ignore[return-value]


def save(path: Path, runner: Any, *, key: str, iteration: int, seconds: float) -> None:
    """Write the state after `iteration` finished passes; collective over all processes.

    Raises:
        FpnProbeError: If it cannot be written; the former state stays.
    """
    states: list[Any] = all_gather_object(random_states())
    if not is_main_process():
        return
    content = {
        "key": key,
        "iteration": iteration,
        "seconds": seconds,
        "model": bare(runner.model).state_dict(),
        "optimizer": runner.optim_wrapper.state_dict(),
        "schedulers": [scheduler.state_dict() for scheduler in runner.param_schedulers],
        "random": states,
        "hooks": {
            str(index): hook.state_dict()
            for index, hook in enumerate(runner.hooks)
            if hasattr(hook, "state_dict")
        },
    }
    write(path, content)


class _Remembering:
    """A file whose first error is kept for later: torch would end the process, or hide it.

    What is written goes to disk as it comes; the state is not in memory a second time.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, chunk: Any) -> int:
        """Write, unless writing has failed before."""
        if self.error is None:
            try:
                self._file.write(chunk)
            except OSError as error:
                self.error = error
        return memoryview(chunk).nbytes

    def flush(self) -> None:
        """Leave that to who closes the file."""


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically; a full disk is told as such."""

    def fill(file: BinaryIO) -> None:
        remembering = _Remembering(file)
        torch.save(dict(content), cast(BinaryIO, remembering))
        if remembering.error is not None:
            raise remembering.error

    atomic.write(path, fill)


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running any code in it.

    Raises:
        FpnProbeError: If it is truncated, or holds anything but data.
    """
    try:
        _check_sums(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FpnProbeError(f"no checkpoint at {path}") from None
    except Exception as error:  # torch raises half a dozen types here
        raise FpnProbeError(
            f"{path} is damaged, or no checkpoint that can be read without running code "
            f"({_first_line(error)}): put it back from a copy, remove it, or run with --fresh"
        ) from None
    if not isinstance(content, dict):
        raise FpnProbeError(f"{path} holds a {type(content).__name__}, expected a checkpoint")
    return content


def key_of(content: Mapping[str, Any]) -> str:
    """Key of the cell whose training wrote a checkpoint, or ""."""
    meta = content.get("meta")
    key = content.get("key") or (meta.get("key") if isinstance(meta, Mapping) else None)
    return key if isinstance(key, str) else ""


def restore(content: Mapping[str, Any], runner: Any) -> None:
    """Load everything but the random states, which the loop restores at its last moment.

    Raises:
        FpnProbeError: If a part is missing, or the state is of another model or other hooks.
    """
    missing = [name for name in _PARTS if name not in content]
    if missing:
        raise FpnProbeError(f"the checkpoint has no {missing[0]!r}: run with --fresh")
    try:
        bare(runner.model).load_state_dict(content["model"])
        runner.optim_wrapper.load_state_dict(content["optimizer"])
        for scheduler, state in zip(runner.param_schedulers, content["schedulers"], strict=True):
            scheduler.load_state_dict(state)
        for index, state in content["hooks"].items():
            runner.hooks[int(index)].load_state_dict(state)
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise FpnProbeError(
            f"the checkpoint is of another model ({_first_line(error)}): run with --fresh"
        ) from None


def _first_line(error: Exception) -> str:
    """Shorten an error of torch to what is wrong; of a model's keys, the first difference."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Error(s) in loading")]
    return f"{lines[0]:.160}" if lines else type(error).__name__


def _check_sums(path: Path) -> None:
    """Compare the check sum of every record, which torch writes and does not look at.

    Raises:
        ValueError: If one differs.
        zipfile.BadZipFile: If the file is no archive, such as one that was cut off.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"the check sum of {damaged} is not that of its content")
