"""Single mutants against the unit tests: `python -m tests.mutation store ledger --count 40`.

Each mutant changes one comparison, arithmetic sign, constant, condition or `not` in a copy of the
package; it is killed if the tests of its package fail. Survivors are printed with their line, to be
pinned by a test or known as equivalent. It takes hours for whole packages, so it is no test.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = {
    "store": ["tests/unit/store", "tests/unit/study/test_judge.py"],
    "ledger": ["tests/unit/test_ledger.py"],
    "interventions": ["tests/unit/interventions"],
    "methods": ["tests/unit/methods"],
    "probing": ["tests/unit/probing"],
    "evaluation": ["tests/unit/evaluation"],
}
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
        node.op = ast.UAdd()
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        node.value += 1
    line = getattr(node, "lineno", 0)
    return ast.unparse(tree), f"{line}: {kind}: {source.splitlines()[line - 1].strip()}"


def survives(tree: Path, tests: list[str]) -> bool:
    """Whether the tests pass on a copy of the project."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=600)
    except subprocess.TimeoutExpired:
        return False  # a mutant that hangs is noticed
    return done.returncode == 0


def run(packages: list[str], count: int, seed: int) -> None:
    """Play mutants of packages and print the survivors and the score."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "project"
        keep = shutil.ignore_patterns(
            "reports", ".git", ".mypy_cache", ".ruff_cache", "__pycache__"
        )
        shutil.copytree(ROOT, tree, ignore=keep)
        for package in packages:
            if not survives(tree, TESTS[package]):
                print(f"{package}: its tests fail without a mutant")
                continue
            files = sorted((tree / "fpnprobe" / package).rglob("*.py"))
            found = [
                (file, number)
                for file in files
                for number in range(len(list(places(ast.parse(file.read_text())))))
            ]
            killed = 0
            chosen = dice.sample(found, min(count, len(found)))
            for file, number in chosen:
                source = file.read_text()
                text, where = mutate(source, number)
                file.write_text(text)
                if survives(tree, TESTS[package]):
                    print(f"survived: {file.relative_to(tree)}:{where}", flush=True)
                else:
                    killed += 1
                file.write_text(source)
            print(f"{package}: {killed} of {len(chosen)} killed ({len(found)} places)", flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("packages", nargs="+", choices=TESTS)
    options.add_argument("--count", type=int, default=40, help="mutants of each package")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    run(given.packages, given.count, given.seed)
