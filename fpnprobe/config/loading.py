"""From a study file to a `Study`. A study file is Python and is run: open only your own."""

import runpy
import types
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fpnprobe.config import overrides as _overrides
from fpnprobe.config.schema import Study
from fpnprobe.config.shipped_studies import find_shipped, list_shipped
from fpnprobe.errors import FpnProbeError
from fpnprobe.suggestions import suggest


def load(path: str | Path, overrides: Mapping[str, Any] | Sequence[str] = ()) -> Study:
    """Read and validate a study.

    Args:
        path: The file, the folder that holds `study.py`, or the name of a study of the package.
            `_base_ = "../other/study.py"` in it (or such a name) starts from another study, whose
            dictionaries are merged key by key. `presets` in it names sets of dotted keys and
            values, which the override `preset` chooses.
        overrides: Dotted keys and values, or texts "key=value" as on the command line.

    Raises:
        FpnProbeError: One line for a missing file, an error in it, a key that is not one, a value
            of the wrong type.
    """
    file = study_file(path)
    content = _run_study_file(file)
    presets = content.pop("presets", {})
    if not isinstance(presets, Mapping):
        raise FpnProbeError(
            f"{file}: presets is {presets!r:.60}, expected a dictionary of names and settings"
        )
    if not isinstance(overrides, Mapping):
        overrides = _overrides.parse(overrides)
    changes = dict(overrides)
    preset = changes.pop("preset", None)
    if preset is not None:
        content = _overrides.apply(content, _read_preset(file, presets, str(preset)))
    return validate(_overrides.apply(content, changes), source=str(file), changes=changes)


def _read_preset(file: Path, presets: Any, name: str) -> Mapping[str, Any]:
    if name not in presets or not isinstance(presets[name], Mapping):
        preset_names = ", ".join(presets) if presets else "none"
        raise FpnProbeError(f"{file} has no preset {name!r}; there is: {preset_names}")
    return dict(presets[name])


def study_file(path: str | Path) -> Path:
    """Return the study file that a path means, or the name of a study of the package.

    A file of yours comes before a study of that name.

    Raises:
        FpnProbeError: If there is neither, with the nearest names.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "study.py"
    if file.is_file():
        return file
    shipped = find_shipped(path)
    if shipped is not None:
        return shipped
    missing = file.parent if file.name == "study.py" else file
    siblings = sorted(file_path.parent.name for file_path in missing.parent.glob("*/study.py"))
    names = [*siblings, *(shipped_study.name for shipped_study in list_shipped())]
    raise FpnProbeError(
        f"no study at {path}: {suggest(missing.name, names)} (a study is a folder that holds "
        "study.py, or a name that `fpnprobe studies` lists)"
    )


def validate(
    content: Mapping[str, Any], *, source: str = "study", changes: Iterable[str] = ()
) -> Study:
    """A `Study` from plain content.

    Args:
        content: Keys and values, as in a study file.
        source: Where they come from, for errors.
        changes: The dotted keys among them that `--set` gave.

    Raises:
        FpnProbeError: One line that names the first key that is wrong.
    """
    try:
        return Study.model_validate(dict(content))
    except ValidationError as error:
        # a misspelt section is missing and unknown at once: what is written there says more
        first, *later_errors = sorted(
            error.errors(), key=lambda entry: entry["type"] != "extra_forbidden"
        )
        # A list whose only entry is wrong counts as empty, too: that is the same mistake.
        count = sum(later["loc"] != first["loc"][: len(later["loc"])] for later in later_errors)
        more = f" (and {count} more)" if count else ""
        key = ".".join(str(step) for step in first["loc"] if not _names_a_type(step))
        source = _name_origin(key, source, tuple(changes))
        if first["type"] == "extra_forbidden":
            hint = suggest(key, _overrides.keys_and_sections())
            raise FpnProbeError(f"{source}: {key} is not a key of a study, {hint}{more}") from None
        if first["type"] == "missing":
            raise FpnProbeError(f"{source}: the key {key} is missing{more}") from None
        message = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
        given_value = "" if first["type"] == "value_error" else f" (given {first['input']!r:.60})"
        raise FpnProbeError(
            f"{source}: {key + ': ' if key else ''}{message}{given_value}{more}"
        ) from None


def _names_a_type(step: int | str) -> bool:
    """Whether a step to a wrong value is pydantic's name of one of the types it may have."""
    return isinstance(step, str) and not step.replace("_", "").isalnum()


def _name_origin(key: str, source: str, changes: Sequence[str]) -> str:
    """Say who gave the value of a key: `--set`, or the study; both may have, if it is no one key's.

    >>> _name_origin("seeds.0", "study.py", ["seeds"]), _name_origin("", "study.py", ["variants"])
    ('--set', 'study.py with --set variants')
    """
    if any(key == name or key.startswith(f"{name}.") for name in changes):
        return "--set"
    return source if key or not changes else f"{source} with --set {', '.join(changes)}"


def _run_study_file(file: Path, depth: int = 0) -> dict[str, Any]:
    """Return the names that a study file defines, on top of those of its `_base_`."""
    if depth > 8:
        raise FpnProbeError(f"{file}: more than 8 levels of _base_: expected a chain that ends")
    try:
        names = runpy.run_path(str(file))
    except SyntaxError as error:
        line = f":{error.lineno}" if error.lineno else ""
        raise FpnProbeError(f"{file}{line}: not valid Python: {error.msg}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a study may raise whatever Python has
        raise FpnProbeError(
            f"{file}: {type(error).__name__} while reading it: {error!s:.300}"
        ) from None
    base = names.pop("_base_", None)
    settings = {
        name: value
        for name, value in names.items()
        if not name.startswith("_")
        and not isinstance(value, (types.ModuleType, types.FunctionType, type))
    }
    if base is None:
        return settings
    if not isinstance(base, str):
        raise FpnProbeError(f"{file}: _base_ must be the path of one study file")
    beside = file.parent / base
    return _merge_settings(
        _run_study_file(study_file(beside if beside.exists() else base), depth + 1), settings
    )


def _merge_settings(base: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in new.items():
        old = result.get(key)
        are_mappings = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = _merge_settings(old, value) if are_mappings else value  # type: ignore[arg-type]
    return result
