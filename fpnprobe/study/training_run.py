"""Start the training of any mmdet config with the probe: here, by torchrun, or on a cluster."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from fpnprobe.config.mmdet_configs import config_file
from fpnprobe.config.training_request import TrainingRequest
from fpnprobe.errors import EnvironmentProblem, FpnProbeError, Interrupted
from fpnprobe.store.run_file import read_run_file


def train(request: TrainingRequest, *, nproc: int = 1) -> Path | None:
    """Train and return the work_dir; None in all processes but the first of a Slurm job.

    Args:
        request: The training. Its launcher `none` trains in this process, `pytorch` in `nproc`
            processes by torchrun, `slurm` in those that `srun` has started; this is one of them.
        nproc: Processes of `pytorch`.

    Raises:
        FpnProbeError: For a wrong option, or if the training failed.
        Interrupted: After Ctrl-C, saying how to go on.
    """
    if nproc > 1 and request.launcher != "pytorch":
        raise FpnProbeError(f"--nproc {nproc}: expected --launcher pytorch for more than 1")
    _check_places(request)
    if request.launcher == "slurm":
        _check_slurm()
    try:
        if request.launcher == "pytorch":
            return _train_by_torchrun(request, nproc)
        from fpnprobe.mm.training.any_config import train_config

        folder = train_config(request)
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; the same command with --resume goes on from the last checkpoint, or from "
            "the start if there is none yet; `fpnprobe report` takes the work_dir as it is"
        ) from None
    first = request.launcher == "none" or os.environ.get("SLURM_PROCID") == "0"
    return folder if first else None


def _check_places(request: TrainingRequest) -> None:
    """Raise for a config or data that are not there, before mmdet is imported.

    Raises:
        FpnProbeError: If there is no such config or folder.
    """
    config_file(request.config)
    if request.data is not None and not Path(request.data).is_dir():
        raise FpnProbeError(f"--data {request.data}: there is no such folder: give a COCO folder")


def _check_slurm() -> None:
    """Raise where this is no process that mmengine could train in.

    Raises:
        FpnProbeError: Outside a Slurm job.
        EnvironmentProblem: Without CUDA, which mmengine's Slurm launcher needs.
    """
    if "SLURM_PROCID" not in os.environ:
        raise FpnProbeError(
            "--launcher slurm: start it inside a job, as in `srun --ntasks=8 fpnprobe train ... "
            "--launcher slurm`"
        )
    import torch

    if not torch.cuda.is_available():
        raise EnvironmentProblem(
            "--launcher slurm: torch finds no CUDA device here, and mmengine's Slurm launcher "
            "needs one for each task: ask for GPUs (srun --gpus-per-task=1), or use --launcher "
            "pytorch on one node"
        )


def _train_by_torchrun(request: TrainingRequest, nproc: int) -> Path:
    from fpnprobe.mm.training.any_config import prepare_config

    folder = Path(prepare_config(request).work_dir)  # what is wrong is said once, not `nproc` times
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        f"--nproc-per-node={nproc}", "-m", "fpnprobe.mm.training.any_config",
        replace(request, work_dir=str(folder)).to_json(),
    ]  # fmt: skip
    # In a session of its own: Ctrl-C reaches us alone, and torchrun once, which tells its workers.
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
    if code:
        raise FpnProbeError(_describe_failure(folder, code))
    return folder


def _describe_failure(folder: Path, code: int) -> str:
    """Return the reason of the failure that the run file gives, else the exit code."""
    try:
        reason = str(read_run_file(folder).get("reason") or "")
    except FpnProbeError:
        reason = ""
    where = f"; its log is in {folder}" if folder.is_dir() else ""
    return f"the training failed ({reason or f'exit code {code}'}){where}"
