"""Numbers of the global batch, from the processes of a distributed run."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from mmengine.dist import get_world_size
from torch import Tensor

from fpnprobe.probing.passes.reduction import Reduction


class DistributedReduction(Reduction):
    """Sums and means over all processes; every process must call them in the same order."""

    @property
    def processes(self) -> int:
        """Number of processes."""
        return int(get_world_size())

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
        parts = (flat / self.processes).split([gradient.numel() for gradient in gradients])
        return [part.view_as(one) for part, one in zip(parts, gradients, strict=True)]


def reduction() -> Reduction:
    """How this run's numbers become those of the global batch."""
    return DistributedReduction() if get_world_size() > 1 else Reduction()
