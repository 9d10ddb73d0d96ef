"""The parts of a loss as a user gives them, turned into a partition."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.partition import LossPartition
from fpnprobe.scales import ScaleBucket

LossParts = LossPartition | Mapping[str, Tensor] | tuple[Tensor, Tensor]


def refuse_absent(partition: LossPartition, loss: Tensor) -> None:
    """Refuse rows that the loss does not depend on.

    Raises:
        FpnProbeError: With the likely reason.
    """
    absent = partition.absent(loss)
    if absent is not None:
        raise FpnProbeError(
            f"{absent.name}: these rows are no part of the loss, which does not depend on them: "
            "give the tensor that the loss was reduced from, not a copy, and not detached"
        )


def to_partition(loss_parts: LossParts | None, buckets: Sequence[ScaleBucket]) -> LossPartition:
    """Turn the loss as a user gives it into a partition.

    Raises:
        FpnProbeError: If it was not given.
    """
    if isinstance(loss_parts, LossPartition):
        return loss_parts
    partition = LossPartition(tuple(buckets))
    if isinstance(loss_parts, Mapping):
        for name, loss in loss_parts.items():
            partition.add_bucket(name, loss)
    elif isinstance(loss_parts, tuple):
        partition.add_rows(*loss_parts)
    else:
        raise FpnProbeError(
            "measure(loss) needs the parts of the loss: a LossPartition, a dict of one loss "
            "for each bucket, or rows= with labels=; or call mark(boxes, labels, areas=...) "
            "before the model"
        )
    return partition
