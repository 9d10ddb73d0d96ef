"""mmengine's Runner and training loop, with exact resume, progress and a clean stop."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, get_rank, is_distributed
from mmengine.logging import MMLogger
from mmengine.registry import LOOPS, RUNNERS
from mmengine.runner import IterBasedTrainLoop, Runner

from fpnprobe.errors import FpnProbeError, NonFiniteLoss
from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.training import checkpoint

_AGREE_EVERY = 10  # passes between two agreements of several processes
_LEAST_INTERVAL = 60.0  # seconds between two saved states that nobody has set


class Stopped(Exception):
    """Training was asked to stop; its state is saved."""


class Keeper:
    """Reports the progress of a training, saves its state in time, and stops it when asked.

    Args:
        folder: Checkpoint folder of the cell.
        key: Key of the cell; a state of another key is not loaded.
        every: Seconds from one saved state to the next; None for what `share` allows, but at
            least a minute.
        share: Largest part of the training time that saving may take.
        report: Called after each pass with (finished passes, seconds of training, loss or None).
        stop: Whether to stop now.
    """

    def __init__(
        self,
        folder: Path,
        *,
        key: str,
        every: float | None,
        share: float = 0.01,
        report: Callable[[int, float, float | None], None],
        stop: Callable[[], bool],
    ) -> None:
        self.path = folder / checkpoint.RESUME
        self.key, self.report, self.stop = key, report, stop
        self._every, self._share = every, share
        self._cost = 0.0  # seconds that the last saved state took
        self.state: dict[str, Any] | None = None
        self._before = 0.0
        self._begin = self._saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """Training time so far, over all attempts."""
        return self._before + time.monotonic() - self._begin

    @property
    def interval(self) -> float:
        """Seconds from one saved state to the next: two gigabytes every minute are too much."""
        if self._every is not None:
            return self._every
        return max(_LEAST_INTERVAL, self._cost * (1 / self._share - 1))

    def load(self, runner: Any) -> int:
        """Load the saved state, if there is one; return the pass to go on with."""
        if not self.path.is_file():
            return 0
        self.state = checkpoint.read(self.path)
        if self.state.get("key") != self.key:
            raise FpnProbeError(
                f"{self.path} is the state of other settings: run with --fresh to begin again"
            )
        checkpoint.restore(self.state, runner)
        self._before = float(self.state["seconds"])
        return int(self.state["iteration"])

    def begin(self) -> None:
        """Called at the last moment before the first pass."""
        if self.state is not None:
            states = self.state["random"]
            checkpoint.restore_random_states(states[get_rank() % len(states)])
            self.state = None
        self._begin = self._saved = time.monotonic()

    def after_pass(self, runner: Any, *, done: int, accumulate: int, last: bool) -> None:
        """Report, save if it is time, stop if asked to."""
        stop, save = (False, False) if done % accumulate or last else self._agreed(done)
        loop = runner.train_loop
        loss = loop.last_loss
        if loss is None and (stop or save or last):  # weights that are not finite are not kept
            loss = float(loop.loss)
        if loss is not None and not math.isfinite(loss):
            raise NonFiniteLoss(f"loss is {loss} at iteration {(done - 1) // accumulate}")
        self.report(done, self.seconds, loss)
        if stop or save:
            for hook in runner.hooks:
                if hasattr(hook, "flush"):
                    hook.flush()
            began = time.monotonic()
            checkpoint.save(self.path, runner, key=self.key, iteration=done, seconds=self.seconds)
            self._saved = time.monotonic()
            self._cost = self._saved - began
        if stop:
            raise Stopped

    def _agreed(self, passes: int) -> tuple[bool, bool]:
        wish = [self.stop(), time.monotonic() - self._saved >= self.interval]
        if is_distributed():
            if passes % _AGREE_EVERY:
                return False, False
            broadcast_object_list(wish)
        return wish[0], wish[1]


@LOOPS.register_module()
class CellLoop(IterBasedTrainLoop):
    """mmengine's loop over iterations, whose data starts where the saved state ended."""

    loss: torch.Tensor
    last_loss: float | None = None

    def run(self) -> torch.nn.Module:
        """Train from the current iteration to the last one."""
        runner, keeper = self.runner, self.runner.keeper
        self.dataloader.sampler.start = self._iter
        batches = iter(self.dataloader)
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        keeper.begin()
        while self._iter < self._max_iters:
            runner.model.train()
            self.run_iter(next(batches))
            keeper.after_pass(
                runner,
                done=self._iter,
                accumulate=runner.accumulate,
                last=self._iter == self._max_iters,
            )
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model  # type: ignore[no-any-return]

    def run_iter(self, data_batch: Any) -> None:
        """One forward and backward pass; the loss is fetched each time on CPU, rarely on CUDA."""
        runner = self.runner
        runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        outputs = runner.model.train_step(data_batch, optim_wrapper=runner.optim_wrapper)
        runner.call_hook(
            "after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=outputs
        )
        if (self._iter + 1) % runner.accumulate == 0:  # the rate moves with the optimizer's steps
            for scheduler in runner.param_schedulers:
                scheduler.step()
        self.loss = outputs["loss"].detach()
        # Fetching waits for the device.
        fetch = self.loss.device.type == "cpu" or self._iter % 20 == 0
        self.last_loss = float(self.loss) if fetch else None
        self._iter += 1


@RUNNERS.register_module()
class CellRunner(Runner):
    """mmengine's Runner that resumes from our state and leaves nothing but our files."""

    keeper: Keeper
    accumulate: int = 1
    log_file: str = ""

    def build_logger(self, log_level: Any = "INFO", **_: Any) -> MMLogger:
        """Log into the cell's `log.txt` and not to the terminal."""
        logger = super().build_logger(log_level, log_file=self.cfg.log_file)
        for handler in list(logger.handlers):
            if type(handler).__name__ == "StreamHandler":
                logger.removeHandler(handler)
        return logger

    def build_model(self, model: Any) -> torch.nn.Module:
        """Build the detector with weights that depend on the seed alone."""
        detector: torch.nn.Module = build_detector(model, seed=self.seed)
        return detector

    def wrap_model(self, model_wrapper_cfg: Any, model: torch.nn.Module) -> torch.nn.Module:
        """Put the detector on the cell's device, which need not be the machine's best."""
        wrapped: torch.nn.Module = super().wrap_model(model_wrapper_cfg, model)
        return wrapped if self.distributed else wrapped.to(self.cfg.device)

    def _init_model_weights(self) -> None:
        """They are drawn already."""

    def dump_config(self) -> None:
        """The manifest holds the configuration."""

    def load_or_resume(self) -> None:
        """Load our saved state, if there is one."""
        self.train_loop._iter = self.keeper.load(self)
