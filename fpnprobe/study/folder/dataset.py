"""The data of a study made ready: a checked COCO folder, its two annotation files, their hash."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpnprobe.config.schema import Study
from fpnprobe.scales import ScaleBucket, bucket_index
from fpnprobe.study.folder.cell_key import digest
from fpnprobe.study.folder.fitting import fit_buckets, fit_size, fit_study
from fpnprobe.study.folder.source import Source

if TYPE_CHECKING:
    from fpnprobe.data.annotation_file.annotations import Annotations
    from fpnprobe.data.splits import Split


def iterations(study: Study, images: int) -> int:
    """Return the optimizer steps of one cell.

    Args:
        study: Its `schedule.iterations`, or `schedule.epochs` times the images over the batch,
            within `at_least` and `at_most`.
        images: Number of training images.
    """
    if study.schedule.iterations is not None:
        return study.schedule.iterations
    schedule = study.schedule
    assert schedule.epochs is not None  # the schedule has exactly one of both
    steps = max(schedule.at_least, round(schedule.epochs * images / schedule.batch))
    return steps if schedule.at_most is None else min(steps, schedule.at_most)


def prepare(study: Study, *, out: str | Path, write: bool = True) -> Source:
    """Make or check the data of a study.

    Training images without an object are left out. Where that, the study's limits, or anything
    that `annotation_file.usable` changes or leaves out makes a split another one than its file,
    its annotation file is `<out>/data/<split>.json`.

    Args:
        study: The study.
        out: Its output folder.
        write: Whether that file is written; without, only what it would hold is told.

    Raises:
        FpnProbeError: If the COCO folder is missing or an annotation or image is bad.
    """
    from fpnprobe.data import coco, scenes, splits
    from fpnprobe.data.annotation_file import parts

    data = study.data
    if data.scenes is not None:
        root = scenes.cached(**data.scenes).absolute()
    else:
        root = Path(str(data.root)).expanduser().absolute()
    train = splits.open_split(root, data.train, area=data.area)
    val = splits.open_split(root, data.val, area=data.area)
    notes = [
        line
        for split, other_images in ((train, ()), (val, val.images_of(train)))
        for line in coco.summarize(split, (*split.check_images(), *other_images)).warnings
    ]
    train_used, val_used = _limit_splits(study, train, val)
    files = []
    for split, annotations in ((train, train_used), (val, val_used)):
        file = split.file
        if annotations is not split.annotations or split.changed:
            file = Path(out).absolute() / "data" / _file_name(split, other=train)
            if write:
                parts.write_part(file, annotations, root=root, folder=split.folder)
        files.append(str(file))
    size = fit_size(train_used, limit=data.size_limit)
    buckets = fit_buckets(train_used) if study.buckets == "auto" else ()
    scale = fit_study(study, size=size, buckets=buckets).scale_buckets()
    return Source(
        root=str(root),
        train=files[0],
        val=files[1],
        classes=train_used.category_names,
        root_hash=digest([split.content_hash() for split in (train, val)]),
        images=(len(train_used.image_keys), len(val_used.image_keys)),
        objects=(int((~train_used.crowd).sum()), int((~val_used.crowd).sum())),
        notes=tuple(notes),
        size=size,
        buckets=buckets,
        by_bucket=tuple(
            _count_by_bucket(annotations, scale) for annotations in (train_used, val_used)
        ),
        unmasked=(
            int((~train_used.masks.present() & ~train_used.crowd).sum()),
            int((~val_used.masks.present()).sum()),
        ),
        category_ids=tuple(
            val_used.with_categories(train_used.category_names).category_keys.numbers.tolist()
        ),
    )


def _count_by_bucket(annotations: "Annotations", scale: Sequence[ScaleBucket]) -> tuple[int, ...]:
    bucket_of_object = bucket_index(annotations.areas[~annotations.crowd], scale)
    return tuple(np.bincount(bucket_of_object, minlength=len(scale)).tolist())


def parse_once(source: Source) -> None:
    """Parse large annotation files here, so that no process of a cell has to."""
    from fpnprobe.data.annotation_file import column_file

    for file in (source.train, source.val):
        column_file.read_usable(file)


def decode(source: Source, study: Study) -> None:
    """Decode the images of both splits into the cache that the cells share, where it is used.

    Cells that start together would each do it, and a cell that is stopped waits for it.
    """
    from fpnprobe.data import splits
    from fpnprobe.data.annotation_file import column_file
    from fpnprobe.data.image_files import pixels

    for file in (source.train, source.val):
        annotations = column_file.read_usable(file)
        folder = splits.image_folder(source.root, file, annotations)
        paths = [folder / name for name in annotations.image_names]
        pixels.store(paths, annotations.sizes, size=study.data.known_size, cache=study.data.cache)


def _file_name(split: "Split", *, other: "Split") -> str:
    """Return the name of a written part; two splits may be the same file, used in two ways."""
    plain = split.name.replace("/", "-").removesuffix(".gz").removesuffix(".json")
    return (
        f"{plain}-val.json" if split is not other and split.name == other.name else f"{plain}.json"
    )


def _limit_splits(
    study: Study, train: "Split", val: "Split"
) -> tuple["Annotations", "Annotations"]:
    """Limit both splits as the study says; a split that is used whole is itself, not a copy."""
    from fpnprobe.data import splits, subset

    limits, classes = study.data.limits, study.data.limits.classes
    if isinstance(classes, int):
        classes = subset.frequent_classes(train.annotations, classes)
    train_used = subset.select(
        train.annotations, images=limits.train_images, classes=classes, min_objects=1
    )
    if classes is None:
        val = splits.match_categories(train, val)
    elif missing := [name for name in classes if name not in val.annotations.category_names]:
        category_names = [*val.annotations.category_names, *missing]
        val = replace(val, annotations=val.annotations.with_categories(category_names))
    val_used = subset.select(
        val.annotations,
        images=limits.val_images,
        classes=classes,
        min_objects=1 if classes else 0,
    )
    return train_used, val_used
