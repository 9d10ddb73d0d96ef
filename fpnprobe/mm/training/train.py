"""Train one cell through mmengine's Runner."""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.dist import is_main_process

from fpnprobe.mm.training.building import build_runner
from fpnprobe.mm.training.saved import checkpoint
from fpnprobe.mm.training.saved.keeper import Keeper
from fpnprobe.mm.training.task import Training
from fpnprobe.store.digests import digest_folder


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of a training: its seconds, and the probe's statistics."""

    seconds: float
    probe: Mapping[str, Any]


def train(
    task: Training,
    *,
    report: Callable[[int, float, float | None], None],
    stop: Callable[[], bool],
    checkpoint_every: float | None = None,
    checkpoint_share: float = 0.01,
) -> Trained:
    """Train to the end, from the saved state if there is one, and write `final.pt`.

    Inside `fpnprobe.mm.training.team.join_team`, which prepares the device and the processes.

    Args:
        task: What is trained.
        report: See `Keeper`.
        stop: See `Keeper`.
        checkpoint_every: See `Keeper`.
        checkpoint_share: See `Keeper`.

    Raises:
        fpnprobe.mm.training.saved.keeper.Stopped: If `stop` became true; the state is saved.
        NonFiniteLoss: If the loss became NaN or infinite.
    """
    folder = task.folder / "checkpoints"
    keeper = Keeper(
        folder,
        key=task.key,
        every=checkpoint_every,
        share=checkpoint_share,
        report=report,
        stop=stop,
    )
    with tempfile.TemporaryDirectory(prefix="fpnprobe-") as scratch:
        runner = build_runner(task, scratch=scratch)
        runner.keeper = keeper
        runner.accumulate = task.config.schedule.accumulate
        runner.train()
        hooks = [hook for hook in runner.hooks if hasattr(hook, "summary")]
        probe = hooks[0].summary() if hooks else {}
        if is_main_process():
            state = checkpoint.bare(runner.model).state_dict()
            meta = {"key": task.key, "classes": list(task.classes), "seconds": keeper.seconds}
            meta["probe"] = json.dumps(probe)
            meta["files"] = json.dumps(digest_folder(task.folder))
            meta["parameters"] = sum(parameter.numel() for parameter in runner.model.parameters())
            checkpoint.write(folder / checkpoint.FINAL, {"state_dict": state, "meta": meta})
            keeper.path.unlink(missing_ok=True)
    return Trained(keeper.seconds, probe)
