"""Starts the process of a cell: plainly, or as several processes by torchrun."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from fpnprobe.config.training_request import LAUNCHERS
from fpnprobe.errors import FpnProbeError
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output

STUDY_LAUNCHERS = (*LAUNCHERS, "command")
CPUS = "FPNPROBE_CPUS"  # how many CPUs a cell may take for its loader processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendezvous:
    """The address at which the nodes that train one cell meet.

    Attributes:
        nodes: Number of nodes.
        rank: Number of this node; the first process of node 0 leads the cell.
        address: Host name of node 0.
        port: A port there that all nodes know and nobody else uses.
    """

    nodes: int
    rank: int
    address: str
    port: int

    def options(self) -> list[str]:
        """Return what torchrun is told."""
        return [
            f"--nnodes={self.nodes}",
            f"--node-rank={self.rank}",
            f"--master-addr={self.address}",
            f"--master-port={self.port}",
        ]


@dataclass(frozen=True, slots=True)
class Launch:
    """Start cells on this machine: one process each, or `nproc` of them by torchrun.

    Attributes:
        device: "cpu" or "cuda".
        nproc: Processes per cell and node; several train together, each on its part of a batch.
        jobs: Cells that run on this machine at the same time, which share its CPUs.
    """

    device: str = "cpu"
    nproc: int = 1
    jobs: int = 1

    def command(
        self,
        out: Path,
        cell: Cell,
        *,
        rendezvous: Rendezvous | None = None,
        watched: bool = True,
    ) -> list[str]:
        """Return the command line of a cell's process.

        Args:
            out: Folder of the study.
            cell: The cell.
            rendezvous: Where several nodes meet; None for this machine alone.
            watched: Whether the process stops when who started it is gone.
        """
        work = ["-m", "fpnprobe.study.runner.worker", str(out), *worker_options(cell, self.device)]
        if watched:
            work.append("--watch-stdin")
        if self.nproc == 1 and rendezvous is None:
            return [sys.executable, *work]
        meeting_options = ["--standalone"] if rendezvous is None else rendezvous.options()
        run = ["-m", "torch.distributed.run", *meeting_options, f"--nproc-per-node={self.nproc}"]
        return [sys.executable, *run, *work]

    def start(
        self,
        output: Output,
        cell: Cell,
        *,
        slot: int = 0,
        rendezvous: Rendezvous | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Start the process; it stops by itself when we are gone.

        `slot` counts the cells that run at the same time: each takes its own GPUs.
        """
        cell.folder.mkdir(parents=True, exist_ok=True)
        with (cell.folder / "log.txt").open("ab") as log:  # until the cell has opened it itself
            return subprocess.Popen(
                self.command(output.out, cell, rendezvous=rendezvous),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self.environment(output.study.resources.threads, slot=slot),
                start_new_session=True,  # Ctrl-C reaches us alone, and we tell the cells
            )

    def environment(self, threads: int, *, slot: int) -> dict[str, str]:
        """The environment of a cell: OpenMP threads as the study says, its own CPUs and GPUs."""
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        variables = {**os.environ, **dict.fromkeys(names, str(threads))}
        variables[CPUS] = str(max(1, len(os.sched_getaffinity(0)) // self.jobs))
        if self.device.startswith("cuda"):
            import torch

            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            gpus = (
                visible.split(",")
                if visible
                else [str(i) for i in range(torch.cuda.device_count())]
            )
            if gpus:
                first = slot * self.nproc
                mine = [gpus[(first + i) % len(gpus)] for i in range(self.nproc)]
                variables["CUDA_VISIBLE_DEVICES"] = ",".join(dict.fromkeys(mine))
        return variables


def worker_options(cell: Cell, device: str) -> list[str]:
    """Options of `fpnprobe.study.runner.worker` for a cell."""
    return [
        "--variant", cell.variant, "--seed", str(cell.seed), "--key", cell.key,
        "--device", device,
    ]  # fmt: skip


def check(
    launcher: str,
    *,
    nproc: int,
    batch: int,
    accumulate: int,
    nodes: int = 1,
    template: str | None = None,
) -> None:
    """Check a launcher and its number of processes before anything starts.

    Raises:
        FpnProbeError: For an unknown launcher, a batch that cannot be split, nodes without Slurm,
            or a template that is missing, has no `{cell}`, or goes with another launcher.
    """
    if launcher not in STUDY_LAUNCHERS:
        raise FpnProbeError(
            f"--launcher {launcher!r}: expected one of {', '.join(STUDY_LAUNCHERS)}"
        )
    if (launcher == "command") != (template is not None):
        raise FpnProbeError(
            "--launcher command and --template go together, as in "
            "--launcher command --template 'ssh gpu1 {cell}'"
        )
    if template is not None and "{cell}" not in template:
        raise FpnProbeError(
            f"--template {template!r} has no {{cell}}: expected it where the command of a cell goes"
        )
    if nproc < 1 or (launcher == "none" and nproc > 1):
        raise FpnProbeError(
            f"--nproc {nproc}: expected at least 1, and --launcher pytorch, slurm or command for "
            "more than 1"
        )
    if nodes > 1 and launcher != "slurm":
        raise FpnProbeError(
            f"resources.nodes is {nodes}: several nodes need --launcher slurm; or set "
            "resources.nodes=1"
        )
    if batch % (nproc * nodes * accumulate):
        times = f"nproc x resources.nodes = {nproc * nodes}" if nodes > 1 else f"nproc = {nproc}"
        raise FpnProbeError(
            f"--nproc {nproc}: schedule.batch {batch} is not a multiple of {times} times "
            f"schedule.accumulate {accumulate}"
        )
