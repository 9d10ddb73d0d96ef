"""Wrappers of distributed training under which a probe cannot read the gradient of a stage."""

from torch import nn

from fpnprobe.errors import FpnProbeError

_SHARDED = {"FullyShardedDataParallel", "FSDPModule", "DTensor"}


def refuse_sharded(model: nn.Module) -> None:
    """Raise for FSDP: a shard's gradient is not a stage's.

    Raises:
        FpnProbeError: Naming the remedy.
    """
    kinds = {kind.__name__ for module in model.modules() for kind in type(module).__mro__}
    kinds |= {type(parameter).__name__ for parameter in model.parameters()}
    if kinds & _SHARDED:
        raise FpnProbeError(
            "the model's parameters are sharded (FSDP): a process has no whole gradient of a "
            "stage, and extra backward passes would gather them again; train with DDP "
            "(DistributedDataParallel) to measure, or leave the probe out"
        )


def refuse_static_graph(model: nn.Module) -> None:
    """Raise for DDP with a static graph: the first backward pass, a probe's, starts its exchange.

    Raises:
        FpnProbeError: Naming the remedy.
    """
    if any(getattr(module, "static_graph", False) is True for module in model.modules()):
        raise FpnProbeError(
            "DistributedDataParallel(static_graph=True) begins to exchange gradients in the first "
            "backward pass through its output, which would be one of the probe's: leave "
            "static_graph out"
        )
