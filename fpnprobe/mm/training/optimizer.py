"""The optimizer of a cell: its wrapper, its rate over time, half precision on any device."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS

from fpnprobe.config.schedule import Schedule
from fpnprobe.errors import EnvironmentProblem


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Forward under bfloat16 autocast, on CUDA or CPU; no loss scale is needed for its range."""

    @contextlib.contextmanager
    def optim_context(self, model: torch.nn.Module) -> Iterator[None]:
        """Autocast around the forward, next to what mmengine does there."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield


def optim_wrapper(schedule: Schedule, *, rate: float, device: str) -> dict[str, Any]:
    """Mmengine's `optim_wrapper` for a study's schedule.

    Raises:
        EnvironmentProblem: For fp16 without CUDA.
    """
    optimizer = {
        "type": schedule.optimizer,
        "lr": rate,
        "weight_decay": schedule.weight_decay,
        "fused": schedule.fused,
    }
    if schedule.optimizer == "SGD":
        optimizer["momentum"] = schedule.momentum
    wrapper: dict[str, Any] = {
        "type": "OptimWrapper",
        "optimizer": optimizer,
        "accumulative_counts": schedule.accumulate,
    }
    paramwise = {
        name: factor
        for name, factor in schedule.paramwise.model_dump(mode="json").items()
        if factor not in (None, {})
    }
    if paramwise:
        wrapper["paramwise_cfg"] = paramwise
    if schedule.clip is not None:
        wrapper["clip_grad"] = {"max_norm": schedule.clip, "norm_type": 2}
    if schedule.amp == "bf16":
        wrapper["type"] = "BFloat16OptimWrapper"
    if schedule.amp == "fp16":
        if not device.startswith("cuda"):
            raise EnvironmentProblem(
                f"schedule.amp='fp16' needs a CUDA device, this is {device}: use 'bf16' or None"
            )
        wrapper |= {"type": "AmpOptimWrapper", "dtype": "float16"}
    return wrapper


def rate_over_time(schedule: Schedule, *, steps: int, rate: float) -> list[Any]:
    """Mmengine's `param_scheduler`: warm-up, then cosine or drops, in optimizer steps.

    The last step of a warm-up has the full rate, so a warm-up of one step is none (mmengine's
    scheduler would divide it into no parts and keep its first rate to the end).

    Args:
        schedule: Of the study.
        steps: Optimizer steps of the whole training.
        rate: Learning rate at its highest.
    """
    warmup = min(schedule.warmup, steps - 1)
    policy: list[Any] = []
    if warmup > 1:
        start = schedule.warmup_start
        kind = (
            {"type": "LinearLR", "start_factor": start}
            if schedule.warmup_policy == "linear"
            else {"type": "ConstantLR", "factor": start}
        )
        policy.append(kind | {"by_epoch": False, "end": warmup})
    if schedule.policy == "cosine":
        policy.append(
            {
                "type": "CosineAnnealingLR",
                "T_max": steps - warmup,
                "begin": warmup,
                "end": steps,
                "eta_min": rate * schedule.final_lr,
                "by_epoch": False,
            }
        )
    else:
        milestones = [round(steps * fraction) for fraction in schedule.steps]
        policy.append(
            {"type": "MultiStepLR", "milestones": milestones, "gamma": 0.1, "by_epoch": False}
        )
    return policy
