"""The parts of a study file: data, schedule, probe, evaluation, resources."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_MOST = 10**9  # of iterations and other counts, which 64-bit integers and file names must hold
Side = Annotated[int, Field(ge=32, le=20_000)]
Part = Annotated[float, Field(ge=0, le=1)]


class Spec(BaseModel):
    """Base of all parts: frozen, no unknown keys, only numbers that a training can use."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
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
    val_images: int | None = Field(default=None, ge=1)
    classes: Annotated[int, Field(ge=1)] | tuple[str, ...] | None = None


class Data(Spec):
    """A data folder (`root`, see `fpnprobe.data.layouts`) or generated scenes.

    `train` and `val` name its splits or their annotation files. `area="box"` takes the area of an
    object, which decides its size bucket, from its box, for data that have none (VOC, CrowdHuman).
    `size` is the short side that images are resized to (the long side at most 5/3 of it, as in
    1333 x 800), or (short, long); None keeps the size. `flip` is the chance of a mirrored image.
    """

    root: str | None = None
    scenes: Mapping[str, Any] | None = None
    train: str = "train"
    val: str = "val"
    limits: Limits = Limits()
    size: Side | tuple[Side, Side] | None = None
    flip: float = Field(default=0.5, ge=0, le=1)
    cache: bool | Literal["auto"] = "auto"
    area: Literal["box"] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.root is None and self.scenes is None:
            raise ValueError("give data.root (a COCO folder) or data.scenes (generated images)")
        return self


class Factors(Spec):
    """What the learning rate and the weight decay of some parameters are multiplied by."""

    lr_mult: float = Field(default=1.0, ge=0)
    decay_mult: float = Field(default=1.0, ge=0)


class Paramwise(Spec):
    """Factors of single parameters: mmengine's `paramwise_cfg`, and its rules of precedence.

    `custom_keys` are parts of parameter names; the longest that fits decides, and the other factors
    do not count then.
    """

    bias_lr_mult: float | None = Field(default=None, ge=0)
    bias_decay_mult: float | None = Field(default=None, ge=0)
    norm_decay_mult: float | None = Field(default=None, ge=0)
    dwconv_decay_mult: float | None = Field(default=None, ge=0)
    flat_decay_mult: float | None = Field(default=None, ge=0)
    custom_keys: Mapping[str, Factors] = {}


class Schedule(Spec):
    """Training. `batch` is the number of images of one optimizer step, over all processes.

    `accumulate` splits that batch into so many passes, so the batch of the paper fits any device;
    neither it nor the number of processes changes the learning rate. If `base_batch` is given, the
    rate used is `lr * batch / base_batch` (linear rule, Goyal et al. 2017). For the first `warmup`
    steps the rate is `warmup_start` of it, rising (`linear`) or not (`constant`).
    """

    iterations: int | None = Field(default=None, ge=1, le=_MOST)
    epochs: float | None = Field(default=None, gt=0, le=1e6)
    batch: int = Field(default=4, ge=1, le=2**20)
    lr: float = Field(default=2e-3, gt=0, le=1e6)
    base_batch: int | None = Field(default=None, ge=1)
    optimizer: Literal["AdamW", "SGD"] = "AdamW"
    weight_decay: float = Field(default=0.01, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    policy: Literal["cosine", "step"] = "cosine"
    steps: tuple[Part, ...] = (8 / 12, 11 / 12)
    final_lr: float = Field(default=0.02, ge=0, le=1)
    warmup: int = Field(default=50, ge=0, le=_MOST)
    warmup_start: float = Field(default=0.01, gt=0, le=1)
    warmup_policy: Literal["linear", "constant"] = "linear"
    paramwise: Paramwise = Paramwise()
    clip: float | None = Field(default=10.0, gt=0)
    amp: Literal["bf16", "fp16"] | None = None
    accumulate: int = Field(default=1, ge=1)
    workers: int | None = Field(default=None, ge=0, le=1024)
    channels_last: bool = True
    fused: bool = True
    deterministic: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.iterations is None) == (self.epochs is None):
            raise ValueError("give exactly one of schedule.iterations and schedule.epochs")
        if self.batch % self.accumulate:
            raise ValueError(
                f"schedule.batch {self.batch} is not a multiple of schedule.accumulate "
                f"{self.accumulate}"
            )
        return self

    @property
    def rate(self) -> float:
        """Learning rate after the linear rule."""
        return self.lr * self.batch / (self.base_batch or self.batch)


class ProbeSpec(Spec):
    """How the gradient is recorded; `mode` None trains without a probe.

    `interval` is in forward passes, None for the mode's own; a `budget` sets it by itself.
    After the training, `offline` validation images are measured with the final weights and with
    those at each of `snapshots`, parts of the training between 0 and 1: the same images each time.
    """

    mode: Literal["norms", "routes", "full"] | None = "routes"
    interval: int | None = Field(default=None, ge=1, le=_MOST)
    budget: float | None = Field(default=None, gt=0, lt=1)
    offline: int = Field(default=0, ge=0, le=10**6)
    snapshots: tuple[float, ...] = ()

    @field_validator("snapshots")
    @classmethod
    def _inside(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < part < 1 for part in value) or sorted(set(value)) != list(value):
            raise ValueError(
                f"probe.snapshots {list(value)} must be rising parts of the training, such as "
                "[0.25, 0.5]"
            )
        return value

    @property
    def online(self) -> dict[str, Any]:
        """What of it concerns the training."""
        return {"mode": self.mode, "interval": self.interval, "budget": self.budget}


_IouType = Literal["bbox", "segm"]


class EvaluationSpec(Spec):
    """How detections are judged: by their boxes, their masks, or both from one training.

    Of `["bbox", "segm"]` the first is what the report's figures are about.
    """

    iou_type: _IouType | tuple[_IouType, ...] = Field(default="bbox", min_length=1)
    engine: Literal["hotcoco", "pycocotools"] = "hotcoco"

    @field_validator("iou_type", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """Take `bbox,segm` of a command line as a list, and a list of one as what it holds."""
        if isinstance(value, str) and "," in value:
            value = [part.strip() for part in value.split(",")]
        if isinstance(value, list | tuple):
            if len(set(value)) < len(value):
                raise ValueError(f"evaluation.iou_type {list(value)} names one kind twice")
            return value[0] if len(value) == 1 else value
        return value

    @property
    def iou_types(self) -> tuple[_IouType, ...]:
        """What is judged, the first being what figures show."""
        return (self.iou_type,) if isinstance(self.iou_type, str) else self.iou_type


class Resources(Spec):
    """Where and how cells run; nothing here changes a result, so nothing here is in a key.

    `jobs` cells run at the same time on a CPU, `cells_per_gpu` on each GPU of a machine.
    """

    jobs: int = Field(default=2, ge=1, le=1024)
    threads: int = Field(default=1, ge=1, le=1024)
    checkpoint_seconds: float = Field(default=60.0, ge=0)
    keep_checkpoint: bool = True
    cells_per_gpu: int = Field(default=1, ge=1)
    gpus_per_cell: int = Field(default=1, ge=1)
    cpus_per_cell: int = Field(default=8, ge=1)
    memory_gb: int = Field(default=32, ge=1)
    minutes: int = Field(default=24 * 60, ge=1)
    slurm: Mapping[str, Any] = {}
