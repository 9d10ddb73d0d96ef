"""The processes that work on one cell together: the first leads, the others do what it says.

A leader may find a cell trained already, or its detections missing. So nobody guesses what comes
next from the files that are there: the others wait for a task, take part in it, and wait again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal

import torch.distributed as distributed

from fpnprobe.mm.training.device import join_processes, set_threads_and_device

Task = Literal["train", "predict", "end"]
Message = tuple[Task, str]  # a task and the file of weights that it is about
_PATIENCE = timedelta(days=7)  # the others wait while the first evaluates or writes


class Team:
    """The processes of one cell; with one process alone every call does nothing.

    Args:
        group: A process group on the CPU for tasks and results, or None with one process alone.
    """

    def __init__(self, group: Any = None) -> None:
        self._group = group
        self._dismissed = group is None

    @property
    def rank(self) -> int:
        """Number of this process; 0 leads."""
        return 0 if self._group is None else distributed.get_rank()

    @property
    def size(self) -> int:
        """Number of processes."""
        return 1 if self._group is None else distributed.get_world_size()

    def announce(self, task: Task, weights: str = "") -> None:
        """Tell the others what this process is about to do; called by the leader.

        Args:
            task: What it is.
            weights: Name of the checkpoint whose weights predict.
        """
        if not self._dismissed:
            distributed.broadcast_object_list([(task, weights)], src=0, group=self._group)
        self._dismissed = self._dismissed or task == "end"

    def tasks(self) -> Iterator[Message]:
        """Yield what the leader announces, until it ends."""
        while True:
            message: list[Any] = [None]
            distributed.broadcast_object_list(message, src=0, group=self._group)
            if message[0][0] == "end":
                return
            yield message[0]

    def gather(self, contribution: Any) -> Sequence[Any]:
        """Bring every process's part to the leader, in the order of the processes.

        The others get an empty sequence.
        """
        if self._group is None:
            return [contribution]
        contributions: list[Any] | None = [None] * self.size if self.rank == 0 else None
        distributed.gather_object(contribution, contributions, dst=0, group=self._group)
        return contributions or ()


@contextmanager
def join_team(device: str, *, deterministic: bool) -> Iterator[Team]:
    """Join the processes that torchrun started, if there are several; the leader ends them all.

    Args:
        device: "cpu" or "cuda".
        deterministic: See `set_threads_and_device`.
    """
    set_threads_and_device(device, deterministic=deterministic)
    if not join_processes(device):
        yield Team()
        return
    team = Team(distributed.new_group(backend="gloo", timeout=_PATIENCE))
    try:
        yield team
    finally:
        if team.rank == 0:
            team.announce("end")
        distributed.destroy_process_group()
