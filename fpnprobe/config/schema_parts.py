"""The parts `probe`, `evaluation` and `resources` of a study file."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from fpnprobe.config.spec import MOST, Spec


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
