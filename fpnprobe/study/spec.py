"""What a study file may say: typed, validated, with the defaults that a laptop needs."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fpnprobe.errors import FpnProbeError
from fpnprobe.scales import COCO_BUCKETS, ScaleBucket, check_buckets, names
from fpnprobe.study.variant import KNOWN, VariantSpec, is_known, nearest, slug, split_variant


class Spec(BaseModel):
    """Base of all parts: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Limits(Spec):
    """A subset of the data: images of each split and classes, None for all.

    `classes` is a list of names, or how many: those with the most objects.
    """

    train_images: int | None = Field(default=None, ge=1)
    val_images: int | None = Field(default=None, ge=1)
    classes: int | tuple[str, ...] | None = None


class Data(Spec):
    """A COCO folder (`root`: images/, annotations/<split>.json) or generated scenes.

    `size` is the short side that images are resized to (the long side at most 5/3 of it, as in
    1333 x 800), or (short, long); None keeps the size. `flip` is the chance of a mirrored image.
    """

    root: str | None = None
    scenes: Mapping[str, Any] | None = None
    train: str = "train"
    val: str = "val"
    limits: Limits = Limits()
    size: int | tuple[int, int] | None = None
    flip: float = Field(default=0.5, ge=0, le=1)
    cache: bool | Literal["auto"] = "auto"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.root is None and self.scenes is None:
            raise ValueError("give data.root (a COCO folder) or data.scenes (generated images)")
        return self


class Schedule(Spec):
    """Training. `batch` is the number of images of one optimizer step, over all processes.

    `accumulate` splits that batch into so many passes, so the batch of the paper fits any device;
    neither it nor the number of processes changes the learning rate. If `base_batch` is given, the
    rate used is `lr * batch / base_batch` (linear rule, Goyal et al. 2017).
    """

    iterations: int | None = Field(default=None, ge=1)
    epochs: float | None = Field(default=None, gt=0)
    batch: int = Field(default=4, ge=1)
    lr: float = Field(default=2e-3, gt=0)
    base_batch: int | None = Field(default=None, ge=1)
    optimizer: Literal["AdamW", "SGD"] = "AdamW"
    weight_decay: float = Field(default=0.01, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    policy: Literal["cosine", "step"] = "cosine"
    steps: tuple[float, ...] = (8 / 12, 11 / 12)
    final_lr: float = Field(default=0.02, ge=0, le=1)
    warmup: int = Field(default=50, ge=0)
    clip: float | None = Field(default=10.0, gt=0)
    amp: Literal["bf16", "fp16"] | None = None
    accumulate: int = Field(default=1, ge=1)
    workers: int | None = Field(default=None, ge=0)
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
    interval: int | None = Field(default=None, ge=1)
    budget: float | None = Field(default=None, gt=0, lt=1)
    offline: int = Field(default=0, ge=0)
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


class EvaluationSpec(Spec):
    """How detections are judged."""

    iou_type: Literal["bbox", "segm"] = "bbox"
    engine: Literal["hotcoco", "pycocotools"] = "hotcoco"


class Resources(Spec):
    """Where and how cells run; nothing here changes a result, so nothing here is in a key."""

    jobs: int = Field(default=2, ge=1)
    threads: int = Field(default=1, ge=1)
    checkpoint_seconds: float = Field(default=60.0, ge=0)
    keep_checkpoint: bool = True
    gpus_per_cell: int = Field(default=1, ge=1)
    cpus_per_cell: int = Field(default=8, ge=1)
    memory_gb: int = Field(default=32, ge=1)
    minutes: int = Field(default=24 * 60, ge=1)
    slurm: Mapping[str, Any] = {}


class Study(Spec):
    """A question, with variants x seeds; its unit of work is the cell (one variant, one seed)."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    question: str
    expected: str = ""
    detector: Mapping[str, Any]
    variants: tuple[VariantSpec, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    data: Data
    schedule: Schedule
    probe: ProbeSpec = ProbeSpec()
    buckets: tuple[tuple[str, float, float | None], ...] = ()
    evaluation: EvaluationSpec = EvaluationSpec()
    resources: Resources = Resources()
    imports: tuple[str, ...] = ()

    @field_validator("variants", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, Sequence):
            return value
        return [{"name": each} if isinstance(each, str) else each for each in value]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        folders = [slug(variant.name) for variant in self.variants]
        for index, (variant, folder) in enumerate(zip(self.variants, folders, strict=True)):
            if folder in folders[:index]:
                raise ValueError(f"variant {variant.name!r} is given twice (folder {folder!r})")
            base, _ = split_variant(variant.built)
            if not self.imports and not is_known(base):
                raise ValueError(f"unknown variant {variant.built!r}: {nearest(base, KNOWN)}")
        for seeds in (self.seeds, *(each.seeds for each in self.variants if each.seeds)):
            if len(set(seeds)) < len(seeds) or min(seeds) < 0:
                raise ValueError(f"seeds {list(seeds)} must be distinct and not negative")
        try:
            labels = names(self.scale_buckets())
            for each in self.variants:
                if each.change is not None:
                    each.change.check_buckets(labels)
        except FpnProbeError as error:
            raise ValueError(str(error)) from error
        changed = [each.name for each in self.variants if each.intervention is not None]
        if changed and self.probe.mode == "norms":
            raise ValueError(
                f"{changed[0]!r} is an intervention, which needs the loss as labeled rows, and "
                "probe.mode norms does not make them: take routes or full, or None for no probe"
            )
        return self

    def scale_buckets(self) -> tuple[ScaleBucket, ...]:
        """The buckets, in px^2 of the original image; COCO's where the study names none."""
        if not self.buckets:
            return COCO_BUCKETS
        return check_buckets(
            [
                ScaleBucket(name, low, float("inf") if high is None else high)
                for name, low, high in self.buckets
            ]
        )

    def seeds_of(self, name: str) -> tuple[int, ...]:
        """Seeds of a variant: its own, or the study's."""
        return self.variant(name).seeds or self.seeds

    def variant(self, name: str) -> VariantSpec:
        """The variant of that name."""
        return next(variant for variant in self.variants if variant.name == name)
