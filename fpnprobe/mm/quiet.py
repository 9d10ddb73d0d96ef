"""Silence what third-party packages say while they are being imported, and nothing after that."""

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO

# mmdet prints this debug note, twice, because its logger is not set up yet at import.
_IMPORT_PRINTS = ("Could not import OneDL",)


class _LineFilter(io.TextIOBase):
    """Pass lines on to a stream, except those that start with a known import note."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._pending = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._pending = (self._pending + text).split("\n")
        for line in lines:
            if not line.startswith(_IMPORT_PRINTS):
                self._stream.write(f"{line}\n")
        return len(text)

    def finish(self) -> None:
        self._stream.write(self._pending)


@contextlib.contextmanager
def imports() -> Iterator[None]:
    """Context for imports of mmengine, mmcv and mmdet only: no warning, no import note on stdout.

    Their import raises SyntaxWarnings (old escapes), DeprecationWarnings (`torch.jit.script`,
    `pkg_resources`) and a UserWarning about an optional package, none of which a user can act on.
    Filters and stdout are as before on exit, also when the import fails, and every other line that
    was printed is passed on.

    >>> import warnings
    >>> before = list(warnings.filters)
    >>> with imports():
    ...     warnings.warn("old escape", SyntaxWarning)
    ...     print("Could not import OneDL. Skipping OneDL datasets.")
    ...     print("kept")
    kept
    >>> warnings.filters == before
    True
    """
    stdout = _LineFilter(sys.stdout)
    with warnings.catch_warnings(), contextlib.redirect_stdout(stdout):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            stdout.finish()


@contextlib.contextmanager
def construction() -> Iterator[None]:
    """Context for building mmdet models: no deprecation warning of mmdet's calls to mmcv."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="mmengine|mmcv|mmdet")
        warnings.filterwarnings("ignore", "DeprecationWarning: ", UserWarning)  # as mmdet spells it
        yield
