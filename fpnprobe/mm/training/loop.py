"""mmengine's Runner and training loop, which go on from a saved state to the last bit."""

from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.registry import LOOPS, RUNNERS
from mmengine.runner import IterBasedTrainLoop, Runner

from fpnprobe.mm.detectors import build_detector
from fpnprobe.mm.training.saved.keeper import Keeper


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
