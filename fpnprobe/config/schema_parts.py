"""The parts of a study file: data, probe, evaluation, resources; the schedule has its own file.

The text under a key is what `fpnprobe keys` prints; `UNKEYED` marks a key that changes no result
and is therefore left out of the key of a cell.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fpnprobe.errors import FpnProbeError

UNKEYED: Any = {"changes_results": False}
MOST = 10**9  # of iterations and other counts, which 64-bit integers and file names must hold
Side = Annotated[int, Field(ge=32, le=20_000)]
Part = Annotated[float, Field(ge=0, le=1)]


class Spec(BaseModel):
    """Base of all parts: frozen, no unknown keys, only numbers that a training can use."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _no_truth_as_number(cls, content: Any) -> Any:
        """Refuse True where a number is expected, which Python takes for 1."""
        for name, value in content.items() if isinstance(content, Mapping) else ():
            field = cls.model_fields.get(name)
            if (
                isinstance(value, bool)
                and field is not None
                and "bool" not in str(field.annotation)
            ):
                raise ValueError(f"{name} is {value}, expected no truth value")
        return content


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


class ProbeSpec(Spec):
    """The recording of the gradient; `mode` None trains without a probe.

    `interval` is in forward passes, None for the mode's own; a `budget` sets it by itself.
    After the training, `offline` validation images are measured with the final weights and with
    those at each of `snapshots`, parts of the training between 0 and 1: the same images each time.
    The weights of the snapshots are evaluated as the final ones are: AP over the training.
    """

    mode: Literal["norms", "routes", "full"] | None = "routes"
    """What is recorded: norms, routes, or cosines as well (full); None trains without a probe."""
    interval: int | None = Field(default=None, ge=1, le=MOST)
    """Forward passes from one probed pass to the next; None for the mode's own."""
    budget: float | None = Field(default=None, gt=0, lt=1)
    """Share of the training time that the probe may cost; it then sets the interval."""
    offline: int = Field(default=0, ge=0, le=10**6)
    """Validation images that are measured after the training, each with the same weights."""
    snapshots: tuple[float, ...] = ()
    """Points of the training in (0, 1): weights are kept, evaluated, measured with `offline`."""

    @field_validator("snapshots")
    @classmethod
    def _check_fractions(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < fraction < 1 for fraction in value) or sorted(set(value)) != list(value):
            raise ValueError(
                f"probe.snapshots {list(value)} must be rising parts of the training, such as "
                "[0.25, 0.5]"
            )
        return value

    @property
    def online(self) -> dict[str, Any]:
        """The keys that concern the training."""
        return {"mode": self.mode, "interval": self.interval, "budget": self.budget}


_IouType = Literal["bbox", "segm"]


class EvaluationSpec(Spec):
    """The evaluation of detections: by their boxes, their masks, or both from one training.

    Of `["bbox", "segm"]` the first is what the report's figures are about.
    """

    iou_type: _IouType | tuple[_IouType, ...] = Field(default="bbox", min_length=1)
    """Whether boxes or masks are judged, or both; figures show the first."""
    engine: Literal["hotcoco", "pycocotools"] = "hotcoco"
    """Library that computes AP."""

    @field_validator("iou_type", mode="before")
    @classmethod
    def _read_kinds(cls, value: object) -> object:
        """Take `bbox,segm` of a command line as a list, and a list of one as what it holds."""
        if isinstance(value, str) and "," in value:
            value = [kind.strip() for kind in value.split(",")]
        if isinstance(value, list | tuple):
            if len({str(kind) for kind in value}) < len(value):
                raise ValueError(f"evaluation.iou_type {list(value)} names one kind twice")
            return value[0] if len(value) == 1 else value
        return value

    @property
    def iou_types(self) -> tuple[_IouType, ...]:
        """The kinds of IoU that are evaluated; figures show the first."""
        return (self.iou_type,) if isinstance(self.iou_type, str) else self.iou_type


class Resources(Spec):
    """The machines that run cells; nothing here changes a result, so nothing here is in a key.

    `jobs` cells run at the same time on a CPU, `cells_per_gpu` on each GPU of a machine.
    """

    jobs: int = Field(default=2, ge=1, le=1024)
    """Cells that run at the same time on a CPU."""
    threads: int = Field(default=1, ge=1, le=1024)
    """Threads of each cell on a CPU."""
    checkpoint_seconds: float | None = Field(default=None, ge=0)
    """Seconds from one checkpoint of a training to the next; None for `checkpoint_share`."""
    checkpoint_share: float = Field(default=0.01, gt=0, lt=1)
    """Part of the training time that checkpoints may take, at most one a minute."""
    keep_checkpoint: bool = True
    """Whether the last checkpoint stays when the cell is done."""
    cells_per_gpu: int = Field(default=1, ge=1)
    """Cells that share one GPU."""
    nodes: int = Field(default=1, ge=1, le=4096)
    """Nodes that train one cell together, under Slurm."""
    gpus_per_cell: int = Field(default=1, ge=1)
    """GPUs of one Slurm job on each of its nodes."""
    cpus_per_cell: int = Field(default=8, ge=1)
    """CPUs of one Slurm job on each of its nodes."""
    memory_gb: int = Field(default=32, ge=1)
    """Memory of one Slurm job on each of its nodes, in GB."""
    minutes: int = Field(default=24 * 60, ge=1)
    """Time limit of one Slurm job in minutes."""
    slurm: Mapping[str, Any] = {}
    """Further options of the Slurm job, as submitit takes them."""
