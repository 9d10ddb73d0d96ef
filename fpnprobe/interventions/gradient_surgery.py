"""PCGrad: of two bucket gradients that conflict, each loses its projection on the other.

Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020, Algorithm 1.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fpnprobe.interventions.row_gradients import Gradients, gradients_of_rows
from fpnprobe.probing.calls import RowCotangents, masked

Floats = npt.NDArray[np.float64]


def surgery_changes(
    cotangents: Sequence[RowCotangents],
    parameters: Sequence[nn.Parameter],
    buckets: int,
    *,
    seed: int,
) -> Gradients:
    """Return the change of each parameter's gradient by surgery between the buckets.

    Args:
        cotangents: Row cotangents of the loss.
        parameters: Parameters that are trained.
        buckets: Number of buckets, each a task of its own.
        seed: Of the random order of the tasks.
    """
    bucket_gradients = [
        gradients_of_rows(*masked(cotangents, label), cotangents, parameters)
        for label in range(buckets)
    ]
    bucket_gradients = [
        gradients for gradients in bucket_gradients if any(g is not None for g in gradients)
    ]
    products = [_inner_product(a, b) for a in bucket_gradients for b in bucket_gradients]
    # On the CPU in one transfer: the loop below compares numbers, and each would wait for the GPU.
    gram = torch.stack(products).cpu().numpy() if products else np.zeros(0)
    gram = gram.reshape(len(bucket_gradients), len(bucket_gradients))
    weights = surgery_weights(gram, seed=seed) - 1
    changes: Gradients = []
    for index in range(len(parameters)):
        total: Tensor | None = None
        for weight, gradients in zip(weights, bucket_gradients, strict=True):
            gradient = gradients[index]
            if gradient is not None:
                weighted = gradient * weight
                total = weighted if total is None else total + weighted
        changes.append(total)
    return changes


def _inner_product(a: Gradients, b: Gradients) -> Tensor:
    products = [
        (x.double() * y.double()).sum()
        for x, y in zip(a, b, strict=True)
        if x is not None and y is not None
    ]
    if products:
        return torch.stack(products).sum()
    device = next((x.device for x in [*a, *b] if x is not None), torch.device("cpu"))
    return torch.zeros((), dtype=torch.float64, device=device)


def surgery_weights(gram: Floats, *, seed: int) -> Floats:
    """Find each task's weight in the sum of the projected gradients (Algorithm 1 of PCGrad).

    Every projected gradient is a combination of the given ones, so their inner products suffice.

    Args:
        gram: Inner products of the tasks' gradients, `(K, K)`.
        seed: Of the random order of the other tasks.

    Returns:
        Weights `(K,)`: the sum over tasks of weight times gradient is the projected sum.

    >>> surgery_weights(np.array([[1.0, 0.0], [0.0, 1.0]]), seed=0).tolist()  # no conflict
    [1.0, 1.0]
    >>> surgery_weights(np.array([[1.0, -0.5], [-0.5, 1.0]]), seed=0).tolist()
    [1.5, 1.5]
    """
    count = len(gram)
    random = np.random.default_rng(seed)
    combined = np.zeros(count)
    for task in range(count):
        projected = np.eye(count)[task]  # this task's gradient as a combination of all, (K,)
        for other in random.permutation([index for index in range(count) if index != task]):
            inner = projected @ gram[:, other]
            if inner < 0 and gram[other, other] > 0:
                projected[other] -= inner / gram[other, other]
        combined += projected
    return combined
