"""The keys of a study file as a table, made from the models, so that it cannot lag behind them."""

import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fpnprobe.config.schema import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyKey:
    """One key of a study file.

    Attributes:
        name: The dotted key, as `--set` takes it.
        kind: Its type and range, in words.
        default: Its default as Python writes it; "required" where there is none.
        meaning: One sentence.
        changes_results: Whether it is part of the key of a cell.
        is_list: Whether its value is a list of any length.
    """

    name: str
    kind: str
    default: str
    meaning: str
    changes_results: bool
    is_list: bool

    def as_json(self) -> dict[str, Any]:
        """Give its fields as a dictionary."""
        return asdict(self)


def study_keys(
    model: type[BaseModel] = Study, *, prefix: str = "", changes_results: bool = True
) -> Iterator[StudyKey]:
    """Yield every key of a study in the order of the models, parts opened.

    >>> next(key for key in study_keys() if key.name == "schedule.batch").kind
    'int >= 1 and <= 1048576'
    """
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        counts = changes_results and not (
            isinstance(extra, Mapping) and extra.get("changes_results") is False
        )
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from study_keys(annotation, prefix=f"{prefix}{name}.", changes_results=counts)
            continue
        yield StudyKey(
            name=prefix + name,
            kind=" ".join([describe_type(field.annotation), *_describe_bounds([field])]),
            default="required" if field.is_required() else repr(field.default),
            meaning=field.description or "",
            changes_results=counts,
            is_list=_is_list(field.annotation),
        )


def describe_type(annotation: Any) -> str:
    """Say a type in words.

    >>> describe_type(int | tuple[str, ...] | None), describe_type(Literal["bf16", "fp16"])
    ('int or list of str or None', "'bf16' or 'fp16'")
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "None"
    if origin is Annotated:
        return " ".join([describe_type(arguments[0]), *_describe_bounds(arguments[1:])])
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(map(describe_type, arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"list of {describe_type(arguments[0])}"
    if origin is tuple:
        return f"({', '.join(map(describe_type, arguments))})"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "mapping"
    return "mapping" if issubclass(annotation, BaseModel) else str(annotation.__name__)


def format_keys(keys: Iterator[StudyKey] | list[StudyKey], *, markdown: bool = False) -> str:
    """Set keys as a table for a person, or for a Markdown file."""
    if markdown:
        rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
        rows += [f"| `{key.name}` | {key.kind} | `{key.default}` | {key.meaning} |" for key in keys]
        return "\n".join(rows)
    return "\n".join(
        f"{key.name}  ({key.kind}; {key.default})\n    {key.meaning}"
        + ("" if key.changes_results else " Changes no result.")
        for key in keys
    )


def _describe_bounds(fields: Iterable[FieldInfo]) -> list[str]:
    """Say the range of a number, as `[">= 0 and < 1"]`; nothing where it has none."""
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    limits = [
        f"{sign} {getattr(constraint, attribute)}"
        for field in fields
        for constraint in field.metadata
        for attribute, sign in signs.items()
        if hasattr(constraint, attribute)
    ]
    return [" and ".join(limits)] if limits else []


def _is_list(annotation: Any) -> bool:
    alternatives = (
        get_args(annotation)
        if get_origin(annotation) in (Union, types.UnionType)
        else (annotation,)
    )
    return all(
        get_origin(alternative) is tuple and get_args(alternative)[-1] is Ellipsis
        for alternative in alternatives
        if alternative is not type(None)
    )
