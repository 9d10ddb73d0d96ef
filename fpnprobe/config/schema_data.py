"""The part `data` of a study file: a folder or generated scenes, sizes and subsets."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from fpnprobe.config.spec import MOST, UNKEYED, Side, Spec
from fpnprobe.errors import FpnProbeError


class Limits(Spec):
    """A subset of the data: images of each split and classes, None for all.

    `classes` is a list of names, or how many: those with the most objects.
    """

    train_images: int | None = Field(default=None, ge=1)
    """Images of the training split, None for all."""
    val_images: int | None = Field(default=None, ge=1)
    """Images of the validation split, None for all."""
    classes: Annotated[int, Field(ge=1)] | tuple[str, ...] | None = None
    """Names of classes, or how many of the most frequent ones; None for all."""


class Data(Spec):
    """A data folder (`root`, see `fpnprobe.data.layouts`) or generated scenes.

    `train` and `val` name its splits or their annotation files. `area="box"` takes the area of an
    object, which decides its size bucket, from its box, for data that have none (VOC, CrowdHuman).
    `size` is the short side that images are resized to (the long side at most 5/3 of it, as in
    1333 x 800), or (short, long); None keeps the size; "auto" takes the median short side of the
    training images, at most `size_limit`. `flip` is the chance of a mirrored image.
    """

    root: str | None = Field(default=None, json_schema_extra=UNKEYED)
    """The folder with images and annotations; a study with generated scenes needs none."""
    scenes: Mapping[str, Any] | None = None
    """Arguments of the generated scenes (`fpnprobe data make`), used where `root` is None."""
    train: str = "train"
    """Name of the training split, or its annotation file."""
    val: str = "val"
    """Name of the validation split, or its annotation file."""
    limits: Limits = Limits()
    """A subset of the data."""
    size: Side | tuple[Side, Side] | Literal["auto"] | None = None
    """Short side of the resized image in px, or (short, long); None keeps it; "auto"."""
    size_limit: Side = 800
    """Most px that a `size` of "auto" takes from the data."""
    short_sides: tuple[Side, Side] | None = None
    """Least and greatest short side that a training image is drawn to, in px (multi-scale)."""
    pad: int | None = Field(default=None, ge=1, le=MOST)
    """Sides of a batch are padded to multiples of this, in px; None for the detector's own, 32."""
    flip: float = Field(default=0.5, ge=0, le=1)
    """Chance that a training image is mirrored."""
    cache: bool | Literal["auto"] = Field(default="auto", json_schema_extra=UNKEYED)
    """Whether decoded images are kept on disk; "auto" where there is room."""
    area: Literal["box"] | None = None
    """Where an object's area comes from: None for its annotation, "box" for its box."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.root is None and self.scenes is None:
            raise ValueError("give data.root (a COCO folder) or data.scenes (generated images)")
        if self.short_sides is not None and self.short_sides[0] > self.short_sides[1]:
            raise ValueError(
                f"data.short_sides {list(self.short_sides)}: expected two, the least first"
            )
        if self.short_sides is not None and self.size is None:
            raise ValueError("data.short_sides needs data.size, which validation images have")
        return self

    @property
    def known_size(self) -> int | tuple[int, int] | None:
        """The size, of a study whose data were read: "auto" is a number by then."""
        if self.size == "auto":
            raise FpnProbeError("data.size is 'auto' and the data were not read: prepare them")
        return self.size
