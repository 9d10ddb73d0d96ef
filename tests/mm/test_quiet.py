"""Importing us says nothing, and leaves no filter behind."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from fpnprobe.mm import quiet

ROOT = Path(quiet.__file__).parents[2]
# As on a machine where nothing of the stack has been compiled to bytecode yet.
RECOMPILE = """
from importlib.machinery import SourceFileLoader as Loader
cached = Loader.get_code
def get_code(self, name):
    if not name.startswith(("mmengine", "mmcv", "mmdet")):
        return cached(self, name)
    path = self.get_filename(name)
    return self.source_to_code(self.get_data(path), path)
Loader.get_code = get_code
"""
IMPORT = "import fpnprobe.mm, mmdet.models; print('done')"


def run(code: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    return done.stdout, done.stderr


def test_import_is_silent() -> None:
    assert run(IMPORT) == ("done\n", "")


@pytest.mark.slow
def test_first_import_is_silent() -> None:
    assert run(RECOMPILE + IMPORT) == ("done\n", "")


def test_other_output_passes_through(capsys: pytest.CaptureFixture[str]) -> None:
    with quiet.imports():
        print("first")
        print("Could not import OneDL. Skipping OneDL datasets.")
        print("Could not import OneDL. Skipping OneDL datasets.", end="\n\n")
        print("unfinished", end="")
    assert capsys.readouterr().out == "first\n\nunfinished"


def test_filters_and_stdout_are_restored_when_an_import_fails() -> None:
    filters, stdout = list(warnings.filters), sys.stdout
    with pytest.raises(ImportError), quiet.imports():
        warnings.warn("old escape", SyntaxWarning, stacklevel=1)
        raise ImportError("no such module")
    assert warnings.filters == filters
    assert sys.stdout is stdout


def test_construction_hides_deprecations_of_mmdet_only() -> None:
    with quiet.construction():
        warnings.warn_explicit("old", DeprecationWarning, "file.py", 1, module="mmcv.cnn")
        warnings.warn("DeprecationWarning: `num_anchors` is deprecated", UserWarning, stacklevel=1)
        with pytest.raises(DeprecationWarning):
            warnings.warn("ours", DeprecationWarning, stacklevel=1)
        with pytest.raises(UserWarning):
            warnings.warn("something to act on", UserWarning, stacklevel=1)
