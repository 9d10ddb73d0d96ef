"""Single mutants against the unit tests: `python -m tests.mutation store ledger --count 40`.

Each mutant changes one comparison, arithmetic sign, constant, condition or `not` in a copy of the
package; it is killed if the tests of its package fail, those of its own file first. Survivors are
printed with their line, to be pinned by a test or known as equivalent. Libraries are imported once,
and each mutant is a forked process; it still takes hours for whole packages, so it is no test.
"""

import argparse
import ast
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = {
    "store": ["tests/unit/store", "tests/unit/study/runner/test_tracked_cells.py"],
    "ledger": ["tests/unit/ledger"],
    "interventions": ["tests/unit/interventions"],
    "methods": ["tests/unit/methods"],
    "probing": ["tests/unit/probing"],
    "evaluation": ["tests/unit/evaluation"],
    "statistics": ["tests/unit/statistics"],
}
LIBRARIES = ("torch", "numpy", "pandas", "pyarrow.parquet", "scipy.stats", "hypothesis", "pytest",
             "cv2", "typer.testing", "pydantic", "hotcoco", "pycocotools.mask")  # fmt: skip
SLOWEST = 900  # seconds of a mutant: one that hangs is noticed
_COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
             ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn,
             ast.NotIn: ast.In}  # fmt: skip
_COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Nodes that can be mutated, and how."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
            yield node, "compare"
        elif isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED:
            yield node, "compute"
        elif isinstance(node, ast.BoolOp):
            yield node, "and-or"
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield node, "not"
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            yield node, "constant"


class _WithoutNot(ast.NodeTransformer):
    """Puts the operand in the place of one `not`."""

    def __init__(self, node: ast.AST) -> None:
        self.node = node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        return node.operand if node is self.node else self.generic_visit(node)


def mutate(source: str, number: int) -> tuple[str, str]:
    """The source with its mutant of that number, and the line it is on."""
    tree = ast.parse(source)
    node, kind = list(places(tree))[number]
    if isinstance(node, ast.Compare):
        node.ops[0] = _COMPARED[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp):
        node.op = _COMPUTED[type(node.op)]()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.UnaryOp):
        tree = _WithoutNot(node).visit(tree)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        node.value += 1
    line = getattr(node, "lineno", 0)
    return ast.unparse(tree), f"{line}: {kind}: {source.splitlines()[line - 1].strip()}"


def tests_of(tree: Path, package: str, file: Path | None) -> list[str]:
    """The tests of a package, those that mirror a file of it first."""
    found = [
        path.relative_to(tree).as_posix()
        for test in TESTS[package]
        for path in (
            [tree / test] if (tree / test).is_file() else sorted((tree / test).rglob("test_*.py"))
        )
    ]
    if file is None:
        return found
    words = {file.stem, file.parent.name} - {package, "__init__"}
    return sorted(found, key=lambda test: not any(word in test for word in words))


def survives(tree: Path, tests: list[str]) -> bool:
    """Whether the tests pass on a copy of the project, in a forked process."""
    pid = os.fork()
    if not pid:
        code = 99
        try:
            _test(tree, tests)
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)
    until = time.monotonic() + SLOWEST
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def _test(tree: Path, tests: list[str]) -> None:
    """Run the tests with the copy's package, without deadlines: a slow machine kills no mutant."""
    import hypothesis
    import pytest

    os.setpgrp()
    quiet = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(quiet, handle)
    os.chdir(tree)
    sys.path[:] = [str(tree), *(path for path in sys.path if path not in ("", str(ROOT)))]
    os.environ["PYTHONPATH"] = str(tree)
    for name in [name for name in sys.modules if name.split(".")[0] in ("fpnprobe", "tests")]:
        del sys.modules[name]
    hypothesis.settings.register_profile("mutation", deadline=None, database=None)
    hypothesis.settings.load_profile("mutation")
    # Libraries are imported before, which pytest would take for a mistake.
    quiet_option = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
    sys.exit(pytest.main(["-q", "-x", "-W", quiet_option, "-p", "no:cacheprovider", *tests]))


def run(packages: list[str], count: int, seed: int) -> None:
    """Play mutants of packages and print the survivors and the score."""
    sys.dont_write_bytecode = True
    for name in LIBRARIES:
        importlib.import_module(name)
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "project"
        keep = shutil.ignore_patterns(
            "reports", ".git", ".mypy_cache", ".ruff_cache", "__pycache__"
        )
        shutil.copytree(ROOT, tree, ignore=keep)
        for package in packages:
            if not survives(tree, tests_of(tree, package, None)):
                print(f"{package}: its tests fail without a mutant", flush=True)
                continue
            files = sorted((tree / "fpnprobe" / package).rglob("*.py"))
            found = [
                (file, number)
                for file in files
                for number in range(len(list(places(ast.parse(file.read_text())))))
            ]
            killed = 0
            chosen = dice.sample(found, min(count, len(found)))
            for played, (file, number) in enumerate(chosen, 1):
                source = file.read_text()
                text, where = mutate(source, number)
                file.write_text(text)
                if survives(tree, tests_of(tree, package, file)):
                    print(f"survived: {file.relative_to(tree)}:{where}", flush=True)
                else:
                    killed += 1
                file.write_text(source)
                if played % 10 == 0:
                    print(f"{package}: {killed} of {played} killed so far", flush=True)
            print(f"{package}: {killed} of {len(chosen)} killed ({len(found)} places)", flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("packages", nargs="+", choices=TESTS)
    options.add_argument("--count", type=int, default=40, help="mutants of each package")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    run(given.packages, given.count, given.seed)
