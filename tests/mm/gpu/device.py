"""The device of these tests: CUDA, or the CPU for a dry run of the tests themselves."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

DEVICE = os.environ.get("FPNPROBE_TEST_DEVICE", "cuda")
NEEDS_DEVICE = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        DEVICE == "cuda" and not torch.cuda.is_available(),
        reason="no CUDA device; FPNPROBE_TEST_DEVICE=cpu runs the test on a CPU",
    ),
    *(
        pytest.mark.filterwarnings(f"ignore:{text}")
        for text in (
            "torch.meshgrid:UserWarning",  # mmdet calls it in the old way
            "Sparse invariant checks:UserWarning",  # free_anchor
            ".*does not have a deterministic implementation",
        )
    ),
]


@contextmanager
def on(device: str, detector: Any, *, dtype: torch.dtype = torch.float64) -> Iterator[Any]:
    """A detector of several tests on a device in a precision, and back."""
    detector.to(dtype).to(device)
    try:
        yield detector
    finally:
        detector.to("cpu").float()
