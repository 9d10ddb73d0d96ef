"""Weights kept on the way, for measurements with earlier states of a model."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from fpnprobe.mm.training.saved import checkpoint
from fpnprobe.mm.training.task import Training


class KeptWeights(Hook):
    """Writes the weights after each of `probe.snapshots`, parts of the training.

    Args:
        task: The training.
    """

    def __init__(self, task: Training) -> None:
        self.task = task
        self.accumulate = task.config.schedule.accumulate
        self.steps = kept_steps(task.config.probe.snapshots, task.iterations)

    def after_train_iter(self, runner: Any, batch_idx: int, **_: Any) -> None:
        """Write them if this pass ends such a step."""
        step, remainder = divmod(batch_idx + 1, self.accumulate)
        if remainder or step not in self.steps or not is_main_process():
            return
        content = {
            "state_dict": checkpoint.bare(runner.model).state_dict(),
            "meta": {"key": self.task.key, "classes": list(self.task.classes)},
        }
        checkpoint.write(kept(self.task.folder, step), content)


def kept_steps(fractions: Iterable[float], iterations: int) -> tuple[int, ...]:
    """The optimizer steps that end these parts of a training.

    >>> kept_steps([0.25, 0.5], 10)
    (2, 5)
    """
    return tuple(sorted({max(1, round(fraction * iterations)) for fraction in fractions}))


def kept_name(iteration: int) -> str:
    """Name of the checkpoint after `iteration` optimizer steps.

    >>> kept_name(200)
    'iteration-200.pt'
    """
    return f"iteration-{iteration}.pt"


def kept(folder: Path, iteration: int) -> Path:
    """Return the path of the weights after `iteration` optimizer steps of a cell."""
    return folder / "checkpoints" / kept_name(iteration)
