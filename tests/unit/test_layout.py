"""The layers of the package: imports go one way, and the front door is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fpnprobe

PACKAGE = Path(fpnprobe.__file__).parent

# package -> first-level parts of fpnprobe that it must not import, at any depth of the file
FORBIDDEN = {
    "probing": {"mm", "study", "figures", "report", "cli", "methods", "evaluation"},
    "interventions": {"mm", "study", "figures", "report", "cli", "evaluation"},
    "methods": {"mm", "study", "figures", "report", "cli", "evaluation"},
    "evaluation": {"mm", "study", "figures", "report", "cli", "probing", "methods"},
    "evidence": {"mm", "study", "figures", "report", "cli", "probing", "methods"},
    "config": {"mm", "study", "figures", "report", "cli", "evaluation", "evidence"},
    "figures": {"mm", "study", "report", "cli", "probing", "methods"},
    "report": {"mm", "study", "cli", "probing", "methods"},
    "data": {"mm", "study", "figures", "report", "cli", "probing", "methods"},
    "attribution": {"mm", "study", "report", "cli"},
    "mm": {"study", "figures", "report", "cli"},
    "study": {"cli"},
    "ledger": {"mm", "study", "figures", "report", "cli", "probing", "methods"},
    "statistics.py": {"mm", "study", "figures", "report", "cli", "probing", "methods"},
}
FRAMEWORKS = {"mmdet", "mmcv", "mmengine"}
LIGHT = ("torch", "mmdet", "mmengine", "mmcv", "captum", "matplotlib")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def sources(part: str) -> list[Path]:
    place = PACKAGE / part
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


@pytest.mark.parametrize("part", FORBIDDEN)
def test_imports_go_one_way(part: str) -> None:
    assert sources(part), "a row that names no file guards nothing"
    for path in sources(part):
        parts = {name.split(".")[1] for name in imports(path) if name.startswith("fpnprobe.")}
        assert not parts & FORBIDDEN[part], path


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
