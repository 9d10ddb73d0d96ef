"""The layers of the package: imports go one way, and the front door is light."""

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import fpnprobe

PACKAGE = Path(fpnprobe.__file__).parent

# From the ground up: a part imports parts of lower floors only, at any depth of a file. A part is a
# module or a folder; the face of a package (`__init__`) may name everything below it.
FLOORS = {
    "": (
        ("errors", "results_version"),
        ("scales", "suggestions", "methods"),
        ("statistics", "variants"),
        ("store",),
        ("ledger", "data"),
        ("probing",),
        ("interventions", "testing"),
        ("config", "evaluation", "attribution"),
        ("evidence", "figures"),
        ("mm",),
        ("report",),
        ("notebook",),
        ("doctor", "run", "study"),
        ("bench",),
        ("cli",),
        ("__main__",),
    ),
    "mm": (
        ("quiet", "ops", "object_areas"),
        ("environment", "backbones", "auxiliary", "metric"),
        ("detectors",),
        ("variants", "adapters"),
        ("hook",),
        ("training",),
        ("inspect",),
        ("bench",),
    ),
    "study": (
        ("folder",),
        ("gaps",),
        ("runner",),
        ("planning", "run_result", "selection", "snapshot", "request", "models", "training_run"),
        ("precautions",),
        ("commands",),
    ),
    "report": (("tables",), ("page",), ("sections",), ("compose",), ("build",)),
}
# What one takes in at a glance; the exempt are lists by nature: a figure, a verb a file.
MOST_ENTRIES = 16
LISTS = ("", "figures", "cli")
FRAMEWORKS = {"mmdet", "mmcv", "mmengine"}
LIGHT = ("torch", "mmdet", "mmengine", "mmcv", "captum", "matplotlib")
# what looks at a model or times it, and who may ask for it: nothing that trains
LOOKING = ("fpnprobe.mm.inspect", "fpnprobe.mm.bench")
MAY_LOOK = ("bench", "cli", "run", "mm/bench", "mm/inspect", "study/runner/steps.py")


@functools.cache
def imports(path: Path) -> set[str]:
    """List the dotted names that a file imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def parts_of(folder: Path) -> set[str]:
    """Name the modules and packages that lie in a folder."""
    return {
        path.stem
        for path in folder.iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
    }


def sources(folder: Path, part: str) -> list[Path]:
    """List the files of a part."""
    module = folder / f"{part}.py"
    return [module] if module.is_file() else sorted((folder / part).rglob("*.py"))


def upward(folder: Path, prefix: str, floors: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield every import that does not go down, as `part -> part (file)`."""
    floor_of = {part: number for number, floor in enumerate(floors) for part in floor}
    for part, floor in floor_of.items():
        for path in sources(folder, part):
            targets = {
                name.removeprefix(prefix).split(".")[0]
                for name in imports(path)
                if name.startswith(prefix)
            }
            for target in sorted(targets - {part}):
                if floor_of.get(target, -1) >= floor:
                    yield f"{part} -> {target} ({path.relative_to(folder)})"


def circles(graph: dict[str, set[str]]) -> list[str]:
    """List the nodes that can be reached from themselves."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [*graph[start]]
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting += graph.get(node, ())
        return seen

    return [node for node in graph if node in reached(node)]


@pytest.mark.parametrize("package", FLOORS)
def test_every_part_stands_on_one_floor(package: str) -> None:
    named = [part for floor in FLOORS[package] for part in floor]
    assert sorted(named) == sorted(parts_of(PACKAGE / package))
    for part in named:
        assert sources(PACKAGE / package, part), f"{part} holds no file: the row guards nothing"


@pytest.mark.parametrize("package", FLOORS)
def test_imports_go_down(package: str) -> None:
    prefix = f"fpnprobe.{package}." if package else "fpnprobe."
    assert list(upward(PACKAGE / package, prefix, FLOORS[package])) == []


def test_no_module_reaches_itself() -> None:
    modules = {
        ".".join(["fpnprobe", *path.relative_to(PACKAGE).with_suffix("").parts]): path
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    }
    graph = {name: imports(path) & modules.keys() for name, path in modules.items()}
    assert circles(graph) == []


def test_no_import_is_relative() -> None:
    """The tests of this file read absolute imports; a relative one would pass below them."""
    for path in PACKAGE.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        assert not any(isinstance(node, ast.ImportFrom) and node.level for node in nodes), path


def test_no_room_is_flat() -> None:
    for folder in {path.parent for path in PACKAGE.rglob("*.py")}:
        room = folder.relative_to(PACKAGE).as_posix().removeprefix(".")
        if room not in LISTS:
            assert len(parts_of(folder)) <= MOST_ENTRIES, folder


def test_nothing_that_trains_looks() -> None:
    """What can change a result is told by two folder names: these are not in it."""
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        if not place.startswith(MAY_LOOK):
            assert not any(name.startswith(LOOKING) for name in imports(path)), path


def test_a_planted_violation_is_found(tmp_path: Path) -> None:
    (tmp_path / "low.py").write_text("def late() -> None:\n    from fpnprobe.high import name\n")
    (tmp_path / "high.py").write_text("import fpnprobe.low\n")
    floors = (("low",), ("high",))
    assert list(upward(tmp_path, "fpnprobe.", floors)) == ["low -> high (low.py)"]
    assert circles({"low": {"high"}, "high": {"low"}, "apart": {"low"}}) == ["low", "high"]


def test_only_mm_touches_the_frameworks() -> None:
    for path in PACKAGE.rglob("*.py"):
        if "mm" not in path.relative_to(PACKAGE).parts:
            roots = {name.split(".")[0] for name in imports(path)}
            assert not roots & FRAMEWORKS, path


@pytest.mark.parametrize("module", ["fpnprobe", "fpnprobe.ledger", "fpnprobe.statistics"])
def test_the_front_door_is_light(module: str) -> None:
    code = f"import {module}, sys; print([m for m in {LIGHT!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_few_public_names() -> None:
    assert len(fpnprobe.__all__) <= 12
