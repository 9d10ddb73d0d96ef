"""Time and memory of a piece of work, on a CPU or a synchronized device."""

import gc
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median

import torch

_PATIENCE = 5.0  # s without a word


@dataclass
class Clock:
    """CPU time of this process, or wall time around a synchronized device."""

    cuda: bool
    times: dict[str, list[float]] = field(default_factory=dict)

    def time(self, name: str, work: Callable[[], object]) -> None:
        """Note how long `work` takes."""
        start = self.now()
        work()
        self.times.setdefault(name, []).append(self.now() - start)

    def now(self) -> float:
        """Seconds."""
        if not self.cuda:
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def __getitem__(self, name: str) -> float:
        return median(self.times[name])


def turns(name: str, count: int) -> Iterator[int]:
    """Yield the numbers of `count` turns; while they take long, each is told on stderr."""
    began = told = time.monotonic()
    for turn in range(count):
        yield turn
        if time.monotonic() - told > _PATIENCE:
            told = time.monotonic()
            sys.stderr.write(f"{name}: turn {turn + 1} of {count}, {told - began:.0f} s\n")


def peak_memory(
    work: Callable[[], object], device: str, *, held: Callable[[], Iterable[torch.Tensor]]
) -> int:
    """Most bytes of tensors in use during `work`, the `held` ones included."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        work()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own chatter on stderr
    before = sum(tensor.nbytes for tensor in held())
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(
        activities=activities, profile_memory=True, acc_events=True
    ) as profile:
        work()
    changes = [
        (event.start_ns(), event.nbytes())
        for event in profile.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    most = now = 0
    for _, size in sorted(changes):
        now += size
        most = max(most, now)
    return before + most
