"""What a cell does at each of its stages, in words for a person."""

from dataclasses import dataclass
from typing import Self

from fpnprobe.study.folder.study_folder import Output


@dataclass(frozen=True, slots=True, kw_only=True)
class StageWords:
    """The words for the stages that `progress.json` names.

    Attributes:
        images: Validation images.
        offline: Those whose gradients are read after the training, 0 for none.
        keeps_weights: Whether earlier weights were kept, which are predicted and read too.

    >>> StageWords(images=200, offline=64).describe("offline")
    'reading gradients of 64 validation images with the final weights'
    >>> StageWords(images=200).describe("start", "importing torch and mmdet")
    'starting: importing torch and mmdet'
    """

    images: int
    offline: int = 0
    keeps_weights: bool = False

    @classmethod
    def of(cls, output: Output) -> Self:
        """The words for the cells of a study."""
        probe = output.study.probe
        return cls(
            images=output.source.images[1],
            offline=probe.offline or 0,
            keeps_weights=bool(probe.snapshots),
        )

    def describe(self, stage: str, doing: str = "") -> str:
        """Say what happens at a stage; one that has no words is told by its name.

        Args:
            stage: As in `progress.json`.
            doing: What it says about the start.
        """
        images = f"{self.images} validation images"
        weights = "the final and earlier weights" if self.keeps_weights else "the final weights"
        words = {
            "start": f"starting: {doing or 'its process begins'}",
            "train": "training",
            "predict": f"predicting the {images}",
            "snapshots": f"predicting the {images} with earlier weights",
            "evaluate": "computing AP of its detections",
            "features": "storing feature maps of validation images",
            "offline": f"reading gradients of {self.offline} validation images with {weights}",
            "ending": "finishing: its process ends",
            "waiting": "waiting for its turn",
        }
        return words.get(stage, stage)
