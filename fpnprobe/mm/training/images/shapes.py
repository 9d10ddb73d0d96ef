"""Batches of one shape: a wide image beside a tall one is padded to a square, half of it empty."""

import numpy as np
import numpy.typing as npt

Order = npt.NDArray[np.int64]


def grouped(order: Order, tall: npt.NDArray[np.bool_], *, batch: int, first: int = 0) -> Order:
    """The order changed so that each batch is wide or tall as a whole, where that is possible.

    Wide and tall images keep their order among themselves and are cut into batches, which follow
    each other as their first images did. What fills no batch comes last, and the end of a batch
    that an earlier epoch has begun stays as it is. Images of one shape keep their order.

    Args:
        order: Images of an epoch, (N,).
        tall: Whether each image is higher than wide, by image.
        batch: Images of a batch.
        first: Position in training of the first image.

    >>> tall = np.array([False, True, False, True, True, False])
    >>> grouped(np.arange(6), tall, batch=2).tolist()
    [0, 2, 1, 3, 5, 4]
    """
    begun = min(-first % batch, len(order))
    full_batches = order[begun:]
    whole, left = [], []
    for kind in (full_batches[~tall[full_batches]], full_batches[tall[full_batches]]):
        cut = len(kind) // batch * batch
        whole += list(kind[:cut].reshape(-1, batch))
        left.append(kind[cut:])
    position = np.empty(len(tall), dtype=np.int64)
    position[order] = np.arange(len(order))
    whole.sort(key=lambda images: int(position[images[0]]))
    return np.concatenate([order[:begun], *whole, *left])
