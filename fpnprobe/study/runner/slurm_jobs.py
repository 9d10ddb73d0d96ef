"""One cell as a job of a Slurm array: submitit's parameters, and what a node runs."""

import contextlib
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fpnprobe.errors import EnvironmentProblem, FpnProbeError
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output
from fpnprobe.study.runner.launchers import Launch, Rendezvous

_PATIENCE = 60.0  # seconds that a preempted cell has to save its state


_FIRST_PORT, _PORTS = 20_000, 12_000  # below those that systems give to clients


@dataclass(slots=True)
class CellJob:
    """The work of one job; picklable, and told by submitit when it is preempted or times out.

    Attributes:
        output: The study in its folder, which all nodes share.
        cell: The cell.
        launch: How its process is started, on each node.
    """

    output: Output
    cell: Cell
    launch: Launch
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def __call__(self) -> int:
        """Run the cell, or this node's part of it, to its end; return the process's exit code."""
        meeting = find_rendezvous() if self.output.study.resources.nodes > 1 else None
        self._process = self.launch.start(self.output, self.cell, rendezvous=meeting)
        return self._process.wait()

    def checkpoint(self) -> Any:
        """Let the cell save its state and end, and ask for the same job again."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_PATIENCE)
        return DelayedSubmission(CellJob(self.output, self.cell, self.launch))


def find_rendezvous() -> Rendezvous:
    """Say where the nodes of this job meet: on its first host, at a port made of its number."""
    from submitit import JobEnvironment

    job = JobEnvironment()
    number = int(re.sub(r"\D", "", job.job_id) or 0)
    return Rendezvous(
        nodes=job.num_nodes,
        rank=job.node,
        address=job.hostnames[0],
        port=_FIRST_PORT + number % _PORTS,
    )


def parameters(output: Output, *, jobs: int | None) -> dict[str, Any]:
    """Submitit's Slurm parameters from the `resources` of a study.

    `resources.slurm` gives any further ones by submitit's names, such as `partition`.
    """
    resources = output.study.resources
    options = {
        "job_name": f"fpnprobe-{output.study.name}",
        "time": resources.minutes,
        "nodes": resources.nodes,
        "ntasks_per_node": 1,
        "cpus_per_task": resources.cpus_per_cell,
        "gpus_per_node": resources.gpus_per_cell,
        "mem": f"{resources.memory_gb}GB",
        "array_parallelism": jobs or len(output.cells),
        "signal_delay_s": int(_PATIENCE),
        "additional_parameters": {"requeue": True},
    }
    return options | dict(output.study.resources.slurm)


def executor(output: Output, *, jobs: int | None) -> Any:
    """Submitit's executor for this cluster.

    Raises:
        EnvironmentProblem: Without submitit, or away from a Slurm cluster.
        FpnProbeError: For a parameter in `resources.slurm` that submitit does not know.
    """
    try:
        from submitit.slurm.slurm import SlurmExecutor
    except ImportError:
        raise EnvironmentProblem(
            "--launcher slurm needs submitit: pip install 'fpnprobe[slurm]'"
        ) from None
    try:
        slurm = SlurmExecutor(folder=folder(output))
    except RuntimeError:
        raise EnvironmentProblem(
            "--launcher slurm: there is no `srun` on this machine; run it on a login node of the "
            "cluster, or leave the option out"
        ) from None
    try:
        slurm.update_parameters(**parameters(output, jobs=jobs))
    except (ValueError, TypeError) as error:
        line = str(error).splitlines()[0]
        raise FpnProbeError(f"resources.slurm: {line}; use submitit's Slurm parameters") from None
    return slurm


def folder(output: Output) -> Path:
    """Return the folder of submitit's job files and the jobs' own logs."""
    return output.out.resolve() / "slurm" / "%j"
