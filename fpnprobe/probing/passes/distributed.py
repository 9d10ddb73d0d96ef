"""Numbers of the global batch, from the processes of a distributed run."""

import datetime
import itertools
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.passes.reduction import Reduction

_PATIENCE_S = 60.0  # how long the processes wait for each other at the door of a probe
_MEETINGS = itertools.count()


class DistributedReduction(Reduction):
    """Sums and means over all processes; every process must call them in the same order."""

    @property
    def processes(self) -> int:
        """Number of processes."""
        return count_processes()

    def sum(self, values: Tensor) -> Tensor:
        """Sum of a tensor over the processes."""
        total = values.clone()
        dist.all_reduce(total)
        return total

    def mean(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Mean of each tensor over the processes, in one message."""
        if not gradients:
            return []
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        pieces = (flat / self.processes).split([gradient.numel() for gradient in gradients])
        return [piece.view_as(gradient) for piece, gradient in zip(pieces, gradients, strict=True)]


def count_processes() -> int:
    """Number of processes of this run; 1 where it is not distributed."""
    if not (dist.is_available() and dist.is_initialized()):
        return 1
    return dist.get_world_size()


def is_first_process() -> bool:
    """Tell whether this process is the one that writes."""
    return count_processes() == 1 or dist.get_rank() == 0


def process_reduction() -> Reduction:
    """Choose how this run's numbers become those of the global batch."""
    return DistributedReduction() if count_processes() > 1 else Reduction()


def agree_on_first(value: int) -> int:
    """The first process' value, in every process."""
    if count_processes() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def meet_all_processes() -> None:
    """Wait until every process is here: one that is not would leave the others hanging.

    Raises:
        FpnProbeError: Naming the processes that did not come.
    """
    if count_processes() == 1:
        return
    # The store knows who came; a barrier of NCCL only hangs until the watchdog kills the job.
    store = dist.distributed_c10d._get_default_store()
    meeting, ranks = next(_MEETINGS), range(dist.get_world_size())
    keys = [f"fpnprobe/{meeting}/{rank}" for rank in ranks]
    store.set(keys[dist.get_rank()], "here")
    try:
        store.wait(keys, datetime.timedelta(seconds=_PATIENCE_S))
    except RuntimeError as error:  # of the file store; DistStoreError of the TCP store is one
        absent = [str(rank) for rank in ranks if not store.check([keys[rank]])]
        raise FpnProbeError(
            f"process {', '.join(absent)} of {len(ranks)} did not enter fpnprobe.watch: enter it "
            'in every process, or give batch="own" to measure the part of this process alone'
        ) from error
