"""The annotated area of each object, carried through any mmdet pipeline.

mmdet drops `area` while loading, and transforms that drop, merge or paste objects misalign every
field they do not know. They do keep the class labels aligned with the boxes, or training itself
would be wrong. So the label carries the object through the pipeline: after loading it becomes
`((row + 1) * 2**20 + label) * 1009`, with `row` in a table of areas, and just before packing it is
turned back. The prime shows any arithmetic on labels; a transform that reads labels is refused.
"""

from collections.abc import Callable, Iterator, MutableSequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from mmcv.transforms import LoadAnnotations
from mmdet.datasets.transforms import PackDetInputs

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.object_areas.allowed_transforms import check_pipeline
from fpnprobe.mm.object_areas.table import AreaTable, area_table

_CLASSES = 2**20
_CHECK = 1009

Integers = npt.NDArray[np.int64]
Results = dict[str, Any]


def encode(labels: Integers, rows: Integers) -> Integers:
    """Return the labels that also carry a row number.

    >>> [part.tolist() for part in decode(encode(np.array([3, 0]), np.array([7, 8])))]
    [[3, 0], [7, 8]]
    """
    return ((rows + 1) * _CLASSES + labels) * _CHECK


def decode(codes: Integers) -> tuple[Integers, Integers]:
    """Return the labels and row numbers of `encode`.

    Raises:
        ValueError: If a code is none: a transform changed it, or made an object of its own.
    """
    value, check = np.divmod(codes, _CHECK)
    row, label = np.divmod(value, _CLASSES)
    if not np.issubdtype(codes.dtype, np.integer) or check.any() or (row < 1).any():
        raise ValueError(f"labels of type {codes.dtype} hold no identity")
    return label, row - 1


class _Load:
    """A loading transform whose labels then carry rows `start + first[sample] + k`."""

    def __init__(self, load: Any, table: AreaTable, start: int) -> None:
        self.inner, self.table, self.start = load, table, start

    def __call__(self, results: Results) -> Results | None:
        loaded: Results | None = self.inner(results)
        if loaded is None:
            return None
        sample, labels = loaded["sample_idx"], loaded["gt_bboxes_labels"]
        rows: Integers = np.arange(self.table.first[sample], self.table.first[sample + 1])
        if not np.array_equal(self.table.labels[rows], labels):
            raise FpnProbeError(
                f"image {loaded.get('img_id')!r}: the objects loaded are not those of the "
                "annotation file; a transform before LoadAnnotations changed them: move it after"
            )
        loaded["gt_bboxes_labels"] = encode(labels, rows + self.start)
        return loaded


class _Pack:
    """A packing transform that finds plain labels and `gt_areas` again."""

    def __init__(self, pack: Any, areas: npt.NDArray[np.float64], names: str) -> None:
        self.inner, self.areas, self.names = pack, areas, names

    def __call__(self, results: Results) -> Results | None:
        try:
            results["gt_bboxes_labels"], rows = decode(results["gt_bboxes_labels"])
        except ValueError as error:
            raise FpnProbeError(
                f"{error}: one of the transforms {self.names} changes class labels or adds "
                "objects of its own; the probe cannot follow an object through it: leave it out"
            ) from error
        results["gt_areas"] = self.areas[rows]
        packed: Results | None = self.inner(results)
        return packed


@contextmanager
def carry_areas(dataset: Any, *, area: str | None = None) -> Iterator[Callable[[], None]]:
    """Inside, every sample of `dataset` has `gt_instances.areas`, float64, in original px^2.

    The dataset's pipelines are changed in place, so workers must start inside; leaving restores
    them. Yields a function that carries areas through pipelines exchanged meanwhile. `area` is that
    of `area_table`.

    Raises:
        FpnProbeError: If a transform or dataset cannot be followed, naming it.
    """
    with ExitStack() as undo:
        bases = list(_base_datasets(dataset))
        tables = [area_table(base, area=area) for base in bases]
        starts = np.cumsum([0, *(len(table.areas) for table in tables)])
        areas = np.concatenate([table.areas for table in tables])
        places = {
            id(base): (table, int(start))
            for base, table, start in zip(bases, tables, starts[:-1], strict=True)
        }

        def install() -> None:
            _wrap_pipelines(dataset, [], places, areas, undo)

        install()
        yield install


def _inner_datasets(dataset: Any) -> list[Any]:
    """Datasets that a wrapping dataset draws from."""
    if isinstance(getattr(dataset, "datasets", None), list | tuple):
        return list(dataset.datasets)
    attributes = getattr(dataset, "__dict__", {})
    held = attributes.get("dataset", attributes.get("_dataset"))
    return [] if held is None else [held]


def _base_datasets(dataset: Any) -> Iterator[Any]:
    """The datasets at the bottom, which load annotations, each once."""
    inner = _inner_datasets(dataset)
    if not inner and not hasattr(dataset, "get_data_info"):
        raise FpnProbeError(
            f"dataset {type(dataset).__name__} is not an mmdet dataset: expected "
            "get_data_info(i)['instances'] and a pipeline, as of CocoDataset"
        )
    if not inner:
        yield dataset
    yielded = set[int]()
    for base in (base for wrapped in inner for base in _base_datasets(wrapped)):
        if id(base) not in yielded:
            yielded.add(id(base))
            yield base


def _wrap_pipelines(
    dataset: Any,
    after: list[Any],
    places: dict[int, tuple[AreaTable, int]],
    areas: npt.NDArray[np.float64],
    undo: ExitStack,
) -> None:
    """Wrap loading in the base pipelines, packing wherever it is; `after`: outer transforms."""
    pipeline = getattr(dataset, "pipeline", [])
    transforms: MutableSequence[Any] = getattr(pipeline, "transforms", pipeline)
    path = [*transforms, *after]
    for inner in _inner_datasets(dataset):
        _wrap_pipelines(inner, path, places, areas, undo)
    if id(dataset) in places:
        check_pipeline(path, of=type(dataset).__name__)
        table, start = places[id(dataset)]
        _replace_transforms(
            transforms, LoadAnnotations, lambda load: _Load(load, table, start), undo
        )
    names = ", ".join(type(transform).__name__ for transform in path)
    for pack in _replace_transforms(
        transforms, PackDetInputs, lambda pack_inputs: _Pack(pack_inputs, areas, names), undo
    ):
        pack.mapping_table = {**pack.mapping_table, "gt_areas": "areas"}
        undo.callback(vars(pack).pop, "mapping_table", None)
    undo.callback(_plain_caches, transforms)


def _replace_transforms(
    transforms: MutableSequence[Any], kind: type, make: Callable[[Any], Any], undo: ExitStack
) -> list[Any]:
    """Put `make(transform)` in place of each transform of a kind; return the transforms."""
    matching = [
        (i, transform) for i, transform in enumerate(transforms) if isinstance(transform, kind)
    ]
    for i, transform in matching:
        transforms[i] = make(transform)
        undo.callback(transforms.__setitem__, i, transform)
    return [transform for _, transform in matching]


def _plain_caches(transforms: MutableSequence[Any]) -> None:
    """Samples that CachedMosaic and its like keep must not carry codes into the next training."""
    for transform in transforms:
        for results in getattr(transform, "results_cache", ()):
            with suppress(ValueError):  # plain already
                results["gt_bboxes_labels"], _ = decode(results["gt_bboxes_labels"])
