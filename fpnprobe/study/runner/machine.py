"""Chooses the device on this machine, and how many cells run at once."""

import os

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.study.folder.study_folder import Output


def default_jobs(output: Output, device: str, requested: int | None, *, nproc: int = 1) -> int:
    """Cells at the same time: as asked, else by the study and its processors or GPUs."""
    if requested is not None:
        return requested
    if device.startswith("cuda"):
        import torch

        at_once = torch.cuda.device_count() * output.study.resources.cells_per_gpu
        return max(1, at_once // nproc)
    processors = len(os.sched_getaffinity(0))
    return max(1, min(output.study.resources.jobs, processors // output.study.resources.threads))


def check_device_name(device: str) -> None:
    """Check how a device is called, which needs no torch.

    Raises:
        FpnProbeError: For anything but auto, cpu and cuda.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise FpnProbeError(
            f"--device {device!r}: expected auto, cpu or cuda; CUDA_VISIBLE_DEVICES chooses GPUs"
        )


def check_device(device: str) -> str:
    """The device that "auto" means, or the one asked for.

    Raises:
        FpnProbeError: For another name.
        EnvironmentProblem: If CUDA is asked for and absent.
    """
    check_device_name(device)
    if device == "cpu":
        return device
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.cuda.is_available():
        raise EnvironmentProblem(
            "--device cuda: torch finds no CUDA device; use --device cpu or see `fpnprobe doctor`"
        )
    return device
