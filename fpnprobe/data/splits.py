"""A split of a data folder: its annotations as they are used, and where its images are."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fpnprobe.data import layouts
from fpnprobe.data.annotation_file.annotations import Annotations
from fpnprobe.data.annotation_file.problems import Notice, shown
from fpnprobe.data.annotation_file.reader import read as read_annotations
from fpnprobe.data.annotation_file.usable import usable
from fpnprobe.data.image_files import images
from fpnprobe.errors import FpnProbeError


@dataclass(frozen=True, slots=True)
class Split:
    """A split of a data folder, read: what is used of its annotations, and where its images are.

    Attributes:
        root: The data folder.
        name: Of the split.
        layout: Which layout the folder has.
        file: Its annotation file.
        folder: Of its images.
        annotations: What is used.
        notices: What was left out or changed while reading.
        objects_in_file: Number of annotations in the file, used or not.
    """

    root: Path
    name: str
    layout: str
    file: Path
    folder: Path
    annotations: Annotations
    notices: tuple[Notice, ...]
    objects_in_file: int

    @property
    def changed(self) -> bool:
        """Whether the file itself does not say what is used: readers need a written part."""
        annotations = self.annotations
        return bool(
            self.notices
            or annotations.area_of_box
            or not annotations.image_keys.plain
            or not annotations.category_keys.plain
        )

    def paths(self) -> tuple[Path, ...]:
        """The image files, in order."""
        return tuple(self.folder / name for name in self.annotations.image_names)

    def check_images(
        self, *, decode: bool = False, on_file: Callable[[], None] = lambda: None
    ) -> tuple[Notice, ...]:
        """Check the image files; see `fpnprobe.data.image_files.images.check`."""
        annotations = self.annotations
        return images.check(
            self.folder, annotations.image_names, annotations.sizes, decode=decode, on_file=on_file
        )

    def images_of(self, training: "Split") -> tuple[Notice, ...]:
        """Tell which images are images of the training, too: their AP says little of others."""
        if training.name == self.name:
            return ()
        trained = set(training.paths())
        shared = [str(path) for path in self.paths() if path in trained]
        if not shared:
            return ()
        sentence = f"are images of {training.name} too: AP on them is that of what was trained on"
        return (Notice(sentence, len(shared), len(self.paths()), "images", shared[0]),)

    def content_hash(self) -> str:
        """Hash of the annotation file's bytes, and name and length of each image file.

        The pixels are not read, so it takes seconds also for COCO; a copy elsewhere hashes the
        same.
        """
        with self.file.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        annotations = self.annotations
        names, sizes = annotations.image_names, annotations.sizes
        digest.update(images.fingerprint(self.folder, names, sizes, times=False).encode())
        return digest.hexdigest()


def open_split(root: str | Path, split: str, *, area: str | None = None) -> Split:
    """Read a split; image files are not opened (`Split.check_images` does that).

    Args:
        root: The data folder.
        split: "train", "val", or the name of an annotation file.
        area: "box" takes the area of an object from its box, for data that have none.

    Raises:
        FpnProbeError: One line that names the file, the first bad entry, and how many there are.
    """
    layout = layouts.find_layout(root, split)
    annotations = read_annotations(layout.annotations, area=area)
    usable_annotations, notices = usable(annotations)
    folder = image_folder(layout.root, layout.annotations, usable_annotations)
    return Split(
        root=layout.root,
        name=split,
        layout=layout.name,
        file=layout.annotations,
        folder=folder,
        annotations=usable_annotations,
        notices=notices,
        objects_in_file=len(annotations.image),
    )


def image_folder(root: str | Path, file: str | Path, annotations: Annotations) -> Path:
    """Find the images of an annotation file: where the file says, or where the layout has them."""
    data_folder = Path(root).expanduser()
    if annotations.folder is not None:
        return data_folder / annotations.folder
    return layouts.find_images(data_folder, Path(file), annotations.image_names)


def match_categories(train: Split, val: Split) -> Split:
    """The validation split with the categories of the training split, in their order.

    A category that only the training has is added, without objects; one that only the validation
    has is left out if it has no object there.

    Raises:
        FpnProbeError: If the validation has objects of a category that is not trained.
    """
    names, annotations = train.annotations.category_names, val.annotations
    if annotations.category_names == names:
        return val
    objects = np.bincount(
        annotations.category[~annotations.crowd], minlength=len(annotations.category_names)
    )
    strange = [i for i, name in enumerate(annotations.category_names) if name not in names]
    occupied = [i for i in strange if objects[i]]
    if occupied:
        first = annotations.category_names[occupied[0]]
        raise FpnProbeError(
            f"{val.file}: {int(objects[occupied].sum())} objects are of {len(occupied)} categories "
            f"that {train.file} does not have (first: {shown(first)}, {objects[occupied[0]]} "
            "objects): use the same categories in both"
        )
    return replace(val, annotations=annotations.with_categories(names))
