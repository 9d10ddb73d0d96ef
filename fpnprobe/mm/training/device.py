"""Prepare torch for a cell: device, determinism, processes."""

import os

import torch

from fpnprobe.errors import EnvironmentProblem


def set_threads_and_device(device: str, *, deterministic: bool) -> None:
    """Prepare torch for a cell on this device.

    Raises:
        EnvironmentProblem: If CUDA is asked for and absent.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise EnvironmentProblem(
            "device 'cuda' is asked for, but torch finds no CUDA device: use --device cpu, or "
            "look at `fpnprobe doctor`"
        )
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    if device.startswith("cuda"):
        torch.backends.cuda.matmul.allow_tf32 = not deterministic
        torch.backends.cudnn.allow_tf32 = not deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def join_processes(device: str) -> bool:
    """Join the processes that torchrun started, by gloo on CPU and NCCL on CUDA.

    Returns whether there are several.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return False
    if not torch.distributed.is_initialized():
        if device.startswith("cuda"):
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return True
