"""Every test starts from the same random state, on one thread."""

import os
import random

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest


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
