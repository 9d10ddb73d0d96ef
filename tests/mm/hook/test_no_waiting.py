"""An intervention asks the device for nothing while a step runs: it would wait for all before."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fpnprobe.interventions import Intervention, masks
from fpnprobe.interventions.backward import IntervenedBackward
from fpnprobe.mm.adapters import observe
from fpnprobe.mm.inspect.generated_batch import generated_batch
from tests.mm.adapters.frameworks import BUCKETS, CLASSES, SIZE, loss_of, tiny

pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning")
# operators whose result, or its shape, the host has to know: on CUDA each waits for the device
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "bincount", "is_nonzero")


class CountWaiting(TorchDispatchMode):
    """Counts the operators for which the host would wait."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += any(name in str(func) for name in WAITING)
        return func(*args, **(kwargs or {}))


def gradients(change: Intervention, *, steps: int = 2) -> tuple[list[Tensor], int]:
    """Gradients of the backbone after some intervened steps, and how often the host waited."""
    detector = tiny("faster_rcnn")
    made = generated_batch(size=SIZE, objects=7, classes=CLASSES, bounds=(18**2, 64**2))
    backward, waited = IntervenedBackward(change), 0
    for step in range(steps):
        detector.zero_grad()
        data = detector.data_preprocessor(made, training=True)
        with observe(detector, BUCKETS) as seen:
            loss = loss_of(detector, data)
        with (
            CountWaiting() as counted,
            backward.around(
                loss, seen.partition, seen.taps(), iteration=100 + step, auxiliary=seen.auxiliary
            ),
        ):
            pass
        with backward.around(
            loss, seen.partition, seen.taps(), iteration=100 + step, auxiliary=seen.auxiliary
        ):
            loss.backward()
        waited += counted.count
    found = [p.grad for p in detector.backbone.parameters() if p.grad is not None]
    return found, waited


SOME = {"stages": "C3..C4", "route": "direct", "gain": 0.0}


@pytest.mark.parametrize(
    "plain",
    [[SOME], [SOME | {"bucket": "small"}], {"balance": {"stages": "C3..C4", "begin": 1}}],
    ids=["cut", "no small", "balanced"],
)
def test_nothing_is_asked_of_the_device(plain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    change = Intervention.of(plain)
    expected, _ = gradients(change)
    monkeypatch.setattr(masks, "may_ask", lambda _: False)  # as on CUDA
    found, waited = gradients(change)
    assert waited == 0
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_the_count_sees_a_question() -> None:
    with CountWaiting() as counted:
        bool(torch.ones(3).any())
        torch.ones(3).nonzero()
    assert counted.count == 2
