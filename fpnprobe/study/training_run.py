"""Start the training of any mmdet config with the probe: here, by torchrun, or on a cluster."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpnprobe.errors import FpnProbeError

_LAUNCHERS = ("none", "pytorch", "slurm")


def train(asked: Mapping[str, Any], *, launcher: str, nproc: int) -> Path | None:
    """Train and return the work_dir; None in all processes but the first of a Slurm job.

    Args:
        asked: Arguments of `fpnprobe.mm.training.any_config.train_config`.
        launcher: `none`: in this process. `pytorch`: `nproc` processes by torchrun. `slurm`: the
            processes that `srun` has started; this is one of them.
        nproc: Processes of `pytorch`.

    Raises:
        FpnProbeError: for a wrong option, or if the training failed.
    """
    if launcher not in _LAUNCHERS:
        raise FpnProbeError(f"--launcher {launcher!r}: expected one of {', '.join(_LAUNCHERS)}")
    if nproc > 1 and launcher != "pytorch":
        raise FpnProbeError(f"--nproc {nproc}: expected --launcher pytorch for more than 1")
    if launcher == "pytorch":
        return _by_torchrun(asked, nproc)
    if launcher == "slurm" and "SLURM_PROCID" not in os.environ:
        raise FpnProbeError(
            "--launcher slurm: start it inside a job, as in `srun --ntasks=8 fpnprobe train ... "
            "--launcher slurm`"
        )
    from fpnprobe.mm.training.any_config import train_config

    folder = train_config(**asked, launcher=launcher)
    first = launcher == "none" or os.environ.get("SLURM_PROCID") == "0"
    return folder if first else None


def _by_torchrun(asked: Mapping[str, Any], nproc: int) -> Path:
    from fpnprobe.mm.training.any_config import choose_work_dir

    folder = choose_work_dir(asked["config"], asked["work_dir"])
    given = json.dumps({**asked, "work_dir": str(folder)})
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        f"--nproc-per-node={nproc}", "-m", "fpnprobe.mm.training.any_config", given,
    ]  # fmt: skip
    code = subprocess.run(command, check=False).returncode
    if code:
        raise FpnProbeError(f"the training ended with exit code {code}; its log is in {folder}")
    return folder
