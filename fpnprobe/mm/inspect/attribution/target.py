"""Targets of an attribution: class logits at fixed places of a detector's head."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from fpnprobe.attribution.chain import Chain, Levels
from fpnprobe.attribution.words import Kind
from fpnprobe.errors import FpnProbeError


@dataclass(frozen=True, slots=True)
class Target:
    """The sum of the class logits `labels[k]` at `sources[k]`, which are held fixed.

    Attributes:
        kind: What it stands for.
        index: Number of the detection (by score) or id of the annotation; -1 for a bucket.
        sources: RoIs `(K, 4)` in input pixels, or prior indices `(K,)`, levels in order; of learned
            queries see `fpnprobe.mm.inspect.attribution.queries`.
        labels: Classes `(K,)`.
        box: The detected or annotated box `(4,)`, input pixels; all NaN for a bucket.
        level: Pyramid level of the source, such as `P3`; "" where there are several.
        score: Confidence of a detection; NaN otherwise.
        bucket: Name of the bucket that a target of kind "bucket" stands for.
    """

    kind: Kind
    index: int
    sources: Tensor
    labels: Tensor
    box: Tensor
    level: str
    score: float = float("nan")
    bucket: str = ""

    @classmethod
    def together(cls, targets: Sequence[Self], *, bucket: str) -> Self:
        """One target for a whole bucket: the sum of its objects' logits."""
        levels = {target.level for target in targets}
        return replace(
            targets[0],
            kind="bucket",
            bucket=bucket,
            index=-1,
            sources=torch.cat([target.sources for target in targets]),
            labels=torch.cat([target.labels for target in targets]),
            box=torch.full_like(targets[0].box, torch.nan),
            level=levels.pop() if len(levels) == 1 else "",
            score=float("nan"),
        )


class DetectorReadout(nn.Module):
    """Base of the readouts: an example's id is its place in `targets`.

    Attributes:
        targets: What the ids of the next attribution mean.
        names: Names of the pyramid levels that the head reads.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.targets: list[Target] = []

    def forward(self, pyramid: Levels, ids: Tensor) -> Tensor:
        """Numbers `(B,)`: each example's sum of logits on its own maps."""
        targets = [self.targets[int(i)] for i in ids]
        counts = torch.tensor([len(target.labels) for target in targets])
        example = torch.arange(len(targets)).repeat_interleave(counts).to(pyramid[0].device)
        logits = self.logits(
            pyramid,
            example,
            torch.cat([target.sources for target in targets]),
            torch.cat([target.labels for target in targets]),
        )
        return logits.new_zeros(len(targets)).index_add(0, example, logits)

    def logits(self, pyramid: Levels, example: Tensor, sources: Tensor, labels: Tensor) -> Tensor:
        """Class logits `(N,)` at the sources, each on the maps of its example."""
        raise NotImplementedError

    def detections(self, pyramid: Levels, meta: dict[str, Any]) -> list[Target]:
        """The detections of one image with their sources, best first."""
        raise NotImplementedError

    def objects(
        self, pyramid: Levels, meta: dict[str, Any], boxes: Tensor, labels: Tensor, ids: list[int]
    ) -> list[Target]:
        """Ground-truth objects `(K, 4)` in input pixels; those without a source are left out."""
        raise NotImplementedError


def pick(targets: Sequence[Target], index: int, *, image: str = "the image") -> Target:
    """The target of that number.

    Raises:
        FpnProbeError: If the image has no detections, or not so many.
    """
    if not targets:
        raise FpnProbeError(
            f"{image} has no detections above the detector's score threshold: "
            "attribute its objects instead, or lower test_cfg's score_thr"
        )
    if not 0 <= index < len(targets):
        raise FpnProbeError(
            f"detection {index} of {image} does not exist: expected 0 to {len(targets) - 1}"
        )
    return targets[index]


@contextmanager
def reading(chain: Chain, targets: Sequence[Target]) -> Iterator[None]:
    """For the length of the context, ids mean these targets."""
    readout = chain.readout
    assert isinstance(readout, DetectorReadout)
    readout.targets = list(targets)
    try:
        yield
    finally:
        readout.targets = []
