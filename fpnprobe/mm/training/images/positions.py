"""The positions in training that one of several processes takes."""

from collections.abc import Iterator

from torch.utils.data import Sampler


class Positions(Sampler[int]):
    """Positions in training for one process, from pass `start` to the last.

    Pass i of `world` processes takes positions i * size * world and up, of which this process
    (`rank`) takes its `size`: one process or several, the global batch is the same.
    """

    def __init__(self, *, passes: int, size: int, rank: int = 0, world: int = 1) -> None:
        self.passes, self.size, self.rank, self.world = passes, size, rank, world
        self.start = 0

    def __len__(self) -> int:
        return self.passes * self.size

    def __iter__(self) -> Iterator[int]:
        for number in range(self.start, self.passes):
            first = (number * self.world + self.rank) * self.size
            yield from range(first, first + self.size)
