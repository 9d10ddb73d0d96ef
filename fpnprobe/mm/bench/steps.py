"""Whole training steps of one detector on one batch, with and without the probe, to be timed."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.optim import OptimWrapper

from fpnprobe.mm.adapters import observe
from fpnprobe.mm.adapters.observing.observe import Labels
from fpnprobe.mm.bench.bench_policy import BenchPolicy
from fpnprobe.mm.detectors import build_detector, detector_config
from fpnprobe.mm.hook.partition_observer import PartitionObserver
from fpnprobe.mm.hook.training_step import StepObserver
from fpnprobe.mm.inspect.generated_batch import generated_batch
from fpnprobe.probing.probe import Mode, Probe
from fpnprobe.scales import COCO_BUCKETS


class Steps:
    """One detector, one optimizer that does not move it, one batch."""

    def __init__(self, config: str | None, *, size: int, batch: int, device: str) -> None:
        spec = {"size": size} if config is None else {"config": config}
        classes = 5 if config is None else 80
        self.detector = build_detector(detector_config(spec, classes)).to(device).train()
        # A rate of zero: every step does the same work, and is a whole step.
        optimizer = torch.optim.SGD(self.detector.parameters(), lr=0.0, momentum=0.9)
        self.wrapper = OptimWrapper(optimizer)
        self._batch = generated_batch(size=size, images=batch, classes=classes)

    def data(self) -> dict[str, Any]:
        """A fresh copy of the batch."""
        return copy.deepcopy(self._batch)

    def step(self) -> None:
        """A training step."""
        torch.manual_seed(0)
        self.detector.train_step(self.data(), self.wrapper)

    def loss(self) -> torch.Tensor:
        """The loss of a forward pass of its own."""
        torch.manual_seed(0)
        data = self.detector.data_preprocessor(self.data(), training=True)
        loss: torch.Tensor = self.detector.parse_losses(self.detector(**data, mode="loss"))[0]
        return loss

    def losses(self) -> Iterator[torch.Tensor]:
        """Yield the loss terms of a forward pass of its own."""
        torch.manual_seed(0)
        data = self.detector.data_preprocessor(self.data(), training=True)
        for name, values in self.detector(**data, mode="loss").items():
            if "loss" in name:
                yield sum(v.mean() for v in (values if isinstance(values, list) else [values]))

    def held(self) -> Iterator[torch.Tensor]:
        """Yield the tensors that stay between two steps: weights, gradients, optimizer state."""
        yield from self.detector.buffers()
        for parameter in self.detector.parameters():
            yield parameter
            if parameter.grad is not None:
                yield parameter.grad
            yield from self.wrapper.optimizer.state.get(parameter, {}).values()

    def observer(self, mode: Mode, *, derived: bool, labels: Labels = "auto") -> StepObserver:
        """Make the observer that the hook would use, with the ledger left out."""
        return PartitionObserver(
            self.detector,
            self.wrapper,
            probe=Probe(mode, conflict="parameter", audit="sketch"),
            buckets=COCO_BUCKETS,
            policy=BenchPolicy(measured=True, audited=not derived),
            labels=labels,
        )

    def inputs(self, mode: Mode) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Loss and what its passes in this mode go to."""
        with observe(self.detector) as observation:
            loss = self.loss()
        taps = observation.taps()
        tensors = [tap.activation for tap in taps if tap.activation is not None]
        if mode == "full":
            tensors += [p for tap in taps for p in tap.parameters]
        return loss, [tensor for tensor in tensors if tensor.requires_grad]
