"""The key of a cell: a hash of everything that its result depends on."""

import ast
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fpnprobe
from fpnprobe.config.key_table import study_keys
from fpnprobe.config.schema import Study
from fpnprobe.results_version import results_version


def digest(content: object) -> str:
    """Hash JSON content by SHA-256, independent of the order of its keys.

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


def cell_key(study: Study, variant: str, seed: int, *, data_hash: str) -> str:
    """Return the content key of a cell: its settings, seed, data and the version of the results.

    Settings that stand at their default are left out, so that a new setting whose default changes
    nothing outdates no cell; a default that changes numbers bumps `fpnprobe.results_version`. Where
    the data lies, how many workers load it, how cells are spread over machines and the text of the
    question are left out as well, and so is the code: they do not change a result.
    """
    content = study.model_dump(mode="json", exclude_defaults=True)
    variant_spec = study.variant(variant)
    content["variants"] = [
        variant_spec.model_dump(mode="json", exclude={"seeds"}, exclude_defaults=True)
    ]
    content["seeds"] = [seed]
    drop_unkeyed(content)
    if "scenes" in content["data"]:
        content["data"].pop("scenes")  # the data hash tells it
    versions = results_version(variant_spec.built)
    return digest({"cell": content, "data": data_hash, "version": versions})


def drop_unkeyed(content: dict[str, Any]) -> None:
    """Take the keys that no training sees out of a study's content, in place."""
    for key in study_keys():
        if not key.changes_results:
            _drop_key(content, key.name)


def _drop_key(content: dict[str, Any], key: str) -> None:
    """Take a dotted key out of nested dictionaries, and a part that is empty then."""
    section, _, subkey = key.partition(".")
    if not subkey:
        content.pop(section, None)
    elif isinstance(content.get(section), dict):
        _drop_key(content[section], subkey)
        if section == "resources" and not content[section]:
            content.pop(section)


@functools.cache
def code_version() -> str:
    """Version of this package and a hash of its code: a fact for the manifest, no part of a key.

    The hash is of the syntax trees without docstrings, so comments and formatting do not count.
    """
    root = Path(fpnprobe.__file__).parent
    sha = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        sha.update(file.relative_to(root).as_posix().encode())
        sha.update(_dump_code(file.read_text()).encode())
    return f"{fpnprobe.__version__}+{sha.hexdigest()[:12]}"


def _dump_code(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and ast.get_docstring(node, clean=False) is not None
        ):
            del node.body[0]
    return ast.dump(tree)


def difference(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted keys at which two configurations differ, with both values.

    >>> difference({"a": {"b": 1}}, {"a": {"b": 2}})
    ['a.b: 1 -> 2']
    """
    changes: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            changes += difference(before, after, f"{prefix}{key}.")
        elif before != after:
            changes.append(f"{prefix}{key}: {before} -> {after}")
    return changes
