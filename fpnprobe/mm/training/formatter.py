"""yapf, by which mmengine prints a config, imported where several cells start at the same time."""

import importlib
import pickle
import time

from fpnprobe.errors import EnvironmentProblem

_TRIES = 40
_PAUSE = 0.25  # s


def import_formatter(name: str = "yapf") -> None:
    """Import yapf before mmengine does, waiting while another process writes its grammar.

    The first import on a machine pickles the grammar into the user's cache, in place; a process
    that imports at the same time reads half a pickle ("Ran out of input") and its cell failed.

    Args:
        name: Of the module.

    Raises:
        EnvironmentProblem: If the cache stays unreadable.
    """
    problem: Exception | None = None
    for _ in range(_TRIES):
        try:
            importlib.import_module(name)
        except (EOFError, pickle.UnpicklingError) as error:
            problem = error
            time.sleep(_PAUSE)
        else:
            return
    raise EnvironmentProblem(
        f"{name} cannot be imported ({problem}): its cache is damaged; remove the folder YAPF in "
        "the user's cache folder and run the same command again"
    )
