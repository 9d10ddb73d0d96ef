"""The parts of a loss as a user gives them, turned into a partition."""

from collections.abc import Mapping

from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.partition import LossPartition

LossParts = LossPartition | Mapping[str, Tensor] | tuple[Tensor, Tensor]


def _refuse_absent(partition: LossPartition, loss: Tensor) -> None:
    absent = partition.absent(loss)
    if absent is not None:
        raise FpnProbeError(
            f"{absent.name}: these rows are no part of the loss, which does not depend on them: "
            "give the tensor that the loss was reduced from, not a copy, and not detached"
        )
