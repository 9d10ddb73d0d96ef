"""The key of a cell: a hash of everything that its result depends on."""

import ast
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fpnprobe
from fpnprobe.study.spec import Study

_CODE = (
    "ledger", "scales.py", "data", "methods", "mm", "probing", "interventions",
    # of the evaluation what gives a cell its AP; the evidence reads finished cells
    *(f"evaluation/{name}.py" for name in (
        "detections", "engines", "evaluation", "ground_truth", "masks", "overlap", "ranges",
        "suspicions",
    )),
)  # fmt: skip
# of mm: they read a trained cell, or measure something else, and change no result
_READERS = (
    "attribution", "features.py", "channel_groups.py", "check.py", "cost_bench.py", "timing.py",
    "intervention_bench.py", "neck_bench.py", "training/speed.py", "training/stock.py",
)  # fmt: skip
_IDLE = {  # what may change without changing a result
    "data": ("root", "cache"),
    "schedule": ("workers",),
}


def digest(content: object) -> str:
    """SHA-256 of JSON content, independent of the order of its keys.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def cell_config(study: Study, variant: str, seed: int) -> dict[str, Any]:
    """The resolved configuration of one cell: a study of one variant and one seed, as JSON."""
    content = study.model_dump(mode="json")
    content["variants"] = [study.variant(variant).model_dump(mode="json", exclude={"seeds"})]
    content["seeds"] = [seed]
    return content


def cell_key(study: Study, variant: str, seed: int, *, data_hash: str, code: str = "") -> str:
    """Content key of a cell: resolved configuration, seed, data hash and code version.

    Where the data lies, how many workers load it, how cells are spread over machines and the text
    of the question are left out: they do not change a result.
    """
    content = cell_config(study, variant, seed)
    for name in ("resources", "question", "expected"):
        content.pop(name)
    for part, idle in _IDLE.items():
        for name in idle:
            content[part].pop(name)
    if content["data"]["area"] is None:
        content["data"].pop("area")  # cells from before there was a choice keep their key
    if content["data"]["scenes"] is not None:
        content["data"].pop("scenes")  # the data hash tells it
    return digest({"cell": content, "data": data_hash, "code": code or code_version()})


@functools.cache
def code_version() -> str:
    """Version of this package and a hash of the code that results depend on.

    The hash is of the syntax trees without docstrings, so comments and formatting do not count.
    """
    root = Path(fpnprobe.__file__).parent
    files = sorted(file for name in _CODE for file in _python(root / name))
    sha = hashlib.sha256()
    for file in files:
        sha.update(str(file.relative_to(root)).encode())
        sha.update(_essence(file.read_text()).encode())
    return f"{fpnprobe.__version__}+{sha.hexdigest()[:12]}"


def _python(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [
        file
        for file in path.rglob("*.py")
        if not (path.name == "mm" and _is_reader(file.relative_to(path)))
    ]


def _is_reader(file: Path) -> bool:
    return file.as_posix() in _READERS or file.parts[0] in _READERS


def _essence(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and ast.get_docstring(node, clean=False) is not None
        ):
            del node.body[0]
    return ast.dump(tree)


def difference(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys at which two configurations differ, with both values.

    >>> difference({"a": {"b": 1}}, {"a": {"b": 2}})
    ['a.b: 1 -> 2']
    """
    found: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += difference(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {before} -> {after}")
    return found
