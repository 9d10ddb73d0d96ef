"""Are the channels of a group alike: what feature grouping is meant to bring about."""

import numpy as np
import numpy.typing as npt

GROUPS = 4


def group_compactness(energy: npt.ArrayLike, *, groups: int = GROUPS) -> float:
    """How much more alike two channels of one group are than any two channels, at most 1.

    Jin et al. (ECCV 2022) expect channel swapping to "make the homogeneous feature maps become
    compact along the channel dimension" (Eq. 12-13), so that a quarter of the channels (Eq. 14)
    can be given to one pyramid level. They give no measure; this is ours. With u_c the spatial
    pattern of channel c, the root of its energy map scaled to unit norm,

        d(c, c')^2 = |u_c - u_c'|^2,    compactness = 1 - D_within / D_all,

    where D_within is the mean of d^2 over the pairs of channels in the same group and D_all over
    all pairs. 1 says that the maps of a group are proportional to each other; 0 is exactly the
    mean over all orders of the channels, so a pyramid whose channels have no groups has 0 in
    expectation; below 0, groups collect what differs. Scaling a channel changes nothing, and
    channels without energy are left out.

    Args:
        energy: squared activations `(Z, h, w)`, not negative.
        groups: number of consecutive groups of channels, as equal as possible.

    Returns:
        The compactness; NaN where no two channels differ or no group has two.

    >>> ring, dot = [[1.0, 1.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]
    >>> group_compactness([ring, ring, dot, dot], groups=2)
    1.0
    >>> round(group_compactness([ring, dot, ring, dot], groups=2), 3)
    -0.5
    """
    values = np.asarray(energy, dtype=np.float64)
    flat = values.reshape(len(values), -1)
    sums = flat.sum(axis=1)
    pattern = np.sqrt(flat / np.where(sums > 0, sums, 1.0)[:, None])
    parts = [
        pattern[of[sums[of] > 0]] for of in np.array_split(np.arange(len(values)), max(1, groups))
    ]
    alike, pairs = np.sum([_cosines(part) for part in parts], axis=0)
    every, count = _cosines(np.concatenate(parts))
    if not pairs or not count - every > 1e-12 * count:
        return float("nan")
    return float(1 - (1 - alike / pairs) / (1 - every / count))


def _cosines(pattern: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Sum of the cosines of all pairs of unit vectors `(n, cells)`, and the number of pairs."""
    count = len(pattern)
    return float((np.square(pattern.sum(axis=0)).sum() - count) / 2), count * (count - 1) / 2
