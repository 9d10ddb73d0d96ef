"""The states of every random generator that a forward pass may draw from."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def read_states() -> tuple[Any, ...]:
    """Read the states of Python's, numpy's and torch's generators, those of GPUs too."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    numbers = np.random.get_state()  # noqa: NPY002 - mmdet draws from it
    return random.getstate(), numbers, torch.get_rng_state(), cuda


@contextmanager
def states_restored(states: tuple[Any, ...]) -> Iterator[None]:
    """Set every random generator to these states inside, and back to its own outside."""
    before = read_states()
    try:
        _set_states(states)
        yield
    finally:
        _set_states(before)


def _set_states(states: tuple[Any, ...]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])
    for device, state in enumerate(states[3]):
        torch.cuda.set_rng_state(state, device)
