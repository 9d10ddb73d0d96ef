"""One training under the probe: everything that is in place while the loop runs, and undone after.

An mmengine hook is not told of an exception. The loop's `run` is: so the probe lives around it.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

import torch
from mmengine.runner import BaseLoop, Runner

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.hook.restart_workers import restart_workers
from fpnprobe.mm.hook.training_step import StepObserver, observed_steps
from fpnprobe.mm.object_areas.carry import carry_areas


class FlushedObserver(StepObserver, Protocol):
    """A step observer that may hold back records."""

    def flush(self) -> None:
        """Hand over what is held back."""


def around_training(runner: Runner, probing: Callable[[], AbstractContextManager[object]]) -> None:
    """Let the coming run of the training loop happen inside `probing()`, once."""
    loop = runner._train_loop
    if not isinstance(loop, BaseLoop):  # a run without training
        return
    original = loop.run

    def run() -> Any:
        del loop.run
        with probing():
            return original()

    loop.run = run


def leave_loop_alone(runner: Runner) -> None:
    """Undo `around_training` if the loop never ran."""
    if isinstance(runner._train_loop, BaseLoop):
        vars(runner._train_loop).pop("run", None)


@contextmanager
def areas_carried(runner: Runner, *, area: str | None = None) -> Iterator[Callable[[], None]]:
    """Objects of the training data carry their areas; yields what renews that for new pipelines.

    `area` is that of `fpnprobe.mm.object_areas.table.area_table`.
    """
    loop = runner.train_loop
    dataset = loop.dataloader.dataset
    if getattr(dataset, "carries_areas", False):
        yield lambda: None
        return
    with carry_areas(dataset, area=area) as refresh:
        restart_workers(runner, loop)
        yield refresh


@contextmanager
def steps_observed(runner: Runner, observer: FlushedObserver) -> Iterator[None]:
    """The optimizer wrapper's steps are observed; nothing stays held back at the end."""
    if runner.cfg.get("compile", None):
        raise FpnProbeError(
            "the runner compiles the training step, which hides the graph that the probe reads: "
            "set compile=False"
        )
    with ExitStack() as undo:
        undo.callback(observer.flush)
        undo.enter_context(observed_steps(runner.optim_wrapper, observer))
        yield


def waiter(model: torch.nn.Module) -> Callable[[], object]:
    """Return a function that waits for the model's device; one that does nothing on a CPU."""
    device = next(model.parameters()).device
    if device.type != "cuda":
        return lambda: None
    return lambda: torch.cuda.synchronize(device)
