"""COCO's compressed run lengths read in Python, so that no C routine sees a bad one.

A mask is told column by column: the lengths of runs of zeros and ones in turn, which add up to
height x width. Compressed, a length is written in groups of five bits, the lowest first, as the
characters 48 to 111; bit 5 of a group says that another follows, bit 4 of the last one is the sign.
From the fourth length on the difference to the length two before is written.
"""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_FIRST, _LAST = 48, 111
_MOST_GROUPS = 8  # 40 bits: more than any image has pixels


def decode_runs(counts: bytes) -> Ints:
    """Run lengths of compressed `counts`.

    Raises:
        ValueError: If they are no run lengths, saying why.

    >>> decode_runs(b"52203").tolist()
    [5, 2, 2, 2, 5]
    """
    codes = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - _FIRST
    if not len(codes):
        raise ValueError("its counts are empty")
    if codes.min() < 0 or codes.max() > _LAST - _FIRST:
        raise ValueError("its counts hold characters that no run length is written with")
    last = codes & 0x20 == 0  # of its number
    if not last[-1]:
        raise ValueError("its counts end within a number")
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    places = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    if places.max() >= _MOST_GROUPS:
        raise ValueError("its counts hold a number that is too large")
    values = np.add.reduceat((codes & 0x1F) << (5 * places), starts)
    negative = codes[ends] & 0x10 != 0
    values[negative] -= 1 << (5 * (places[ends][negative] + 1))
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def check_runs(runs: Ints, height: int, width: int) -> None:
    """Raise unless the runs tell a mask of `height` x `width`.

    Raises:
        ValueError: Saying why.
    """
    if (runs < 0).any():
        raise ValueError("its counts hold a negative run length")
    total = int(runs.sum())
    if total != height * width:
        raise ValueError(
            f"its counts add up to {total} px, and {height} x {width} are {height * width}"
        )


def encode_runs(runs: Ints) -> bytes:
    """Compressed counts of run lengths, the inverse of `decode_runs`.

    >>> encode_runs(np.array([5, 2, 2, 2, 5]))
    b'52203'
    """
    deltas = runs.copy()
    deltas[3:] -= runs[1:-2]
    written = bytearray()
    for delta in deltas.tolist():
        remainder = delta
        while True:
            group, remainder = remainder & 0x1F, remainder >> 5
            more = remainder != (-1 if group & 0x10 else 0)
            written.append(_FIRST + (group | (0x20 if more else 0)))
            if not more:
                break
    return bytes(written)
