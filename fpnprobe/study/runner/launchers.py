"""How the process of a cell is started: plainly, or as several processes by torchrun."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from fpnprobe.config.training_request import LAUNCHERS
from fpnprobe.errors import FpnProbeError
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output


@dataclass(frozen=True, slots=True)
class Launch:
    """Start cells on this machine: one process each, or `nproc` of them by torchrun.

    Attributes:
        device: "cpu" or "cuda".
        nproc: processes per cell; more than one train together, each on its part of every batch.
    """

    device: str = "cpu"
    nproc: int = 1

    def command(self, out: Path, cell: Cell) -> list[str]:
        """The command line of a cell's process."""
        work = ["-m", "fpnprobe.study.runner.worker", str(out), *worker_options(cell, self.device)]
        if self.nproc == 1:
            return [sys.executable, *work]
        run = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={self.nproc}"]
        return [sys.executable, *run, *work]

    def start(self, result: Output, cell: Cell, *, slot: int = 0) -> "subprocess.Popen[bytes]":
        """Start the process; it stops by itself when we are gone.

        `slot` counts the cells that run at the same time: each takes its own GPUs.
        """
        cell.folder.mkdir(parents=True, exist_ok=True)
        with (cell.folder / "log.txt").open("ab") as log:  # until the cell has opened it itself
            return subprocess.Popen(
                self.command(result.out, cell),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self.environment(result.study.resources.threads, slot=slot),
                start_new_session=True,  # Ctrl-C reaches us alone, and we tell the cells
            )

    def environment(self, threads: int, *, slot: int) -> dict[str, str]:
        """The environment of a cell: as many OpenMP threads as the study says, its own GPUs."""
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        found = {**os.environ, **dict.fromkeys(names, str(threads))}
        if self.device.startswith("cuda"):
            import torch

            given = os.environ.get("CUDA_VISIBLE_DEVICES")
            gpus = given.split(",") if given else [str(i) for i in range(torch.cuda.device_count())]
            if gpus:
                first = slot * self.nproc
                mine = [gpus[(first + i) % len(gpus)] for i in range(self.nproc)]
                found["CUDA_VISIBLE_DEVICES"] = ",".join(dict.fromkeys(mine))
        return found


def worker_options(cell: Cell, device: str) -> list[str]:
    """Options of `fpnprobe.study.runner.worker` for a cell."""
    return [
        "--variant", cell.variant, "--seed", str(cell.seed), "--key", cell.key,
        "--device", device, "--watch-stdin",
    ]  # fmt: skip


def check(launcher: str, *, nproc: int, batch: int, accumulate: int) -> None:
    """Check a launcher and its number of processes before anything starts.

    Raises:
        FpnProbeError: for an unknown launcher or a batch that cannot be split.
    """
    if launcher not in LAUNCHERS:
        raise FpnProbeError(f"--launcher {launcher!r}: expected one of {', '.join(LAUNCHERS)}")
    if nproc < 1 or (launcher == "none" and nproc > 1):
        raise FpnProbeError(
            f"--nproc {nproc}: expected at least 1, and --launcher pytorch or slurm for more than 1"
        )
    if batch % (nproc * accumulate):
        raise FpnProbeError(
            f"--nproc {nproc}: schedule.batch {batch} is not a multiple of nproc x "
            f"schedule.accumulate = {nproc * accumulate}"
        )
