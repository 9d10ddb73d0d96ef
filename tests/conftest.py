"""Tests start from one random state, on one thread, and without a GPU unless they ask for it."""

import os
import random

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Hide GPUs from a run that does not ask for them: mmengine trains on what it sees."""
    if "gpu" not in str(config.option.markexpr).replace("not gpu", ""):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(autouse=True)
def seeded() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 -- mmdet draws from the legacy generator
    try:
        import torch
    except ImportError:  # the report's tests run without torch
        return
    torch.manual_seed(0)
    torch.set_num_threads(1)
