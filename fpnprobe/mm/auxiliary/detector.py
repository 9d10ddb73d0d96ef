"""A detector that is supervised by auxiliary heads too, and is itself in every other respect."""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from mmdet.models.detectors import BaseDetector
from mmdet.models.roi_heads import SparseRoIHead
from mmdet.registry import MODELS as DETECTION_MODELS
from mmengine.model import ModuleDict
from mmengine.registry import MODELS
from torch import Tensor, nn


class _Auxiliary:
    """The mixin that gives a detector `auxiliary_heads` and their losses."""

    auxiliary_heads: ModuleDict

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[Any]) -> dict[str, Any]:
        """The detector's own losses and those of the auxiliary heads (Eq. 9)."""
        with _collect_stages(self.backbone) as stages, _collect_samplings(self) as samplings:  # type: ignore[attr-defined]
            losses: dict[str, Any] = super().loss(batch_inputs, batch_data_samples)  # type: ignore[misc]
        for number, branch in self.auxiliary_heads.items():
            branch_losses = branch.loss(stages[int(number) - 2], batch_data_samples, samplings)
            losses.update({f"aux{number}.{name}": value for name, value in branch_losses.items()})
        return losses

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *arguments: Any) -> None:
        """Let the weights of the plain detector load strictly: the heads keep what they have."""
        heads_prefix = f"{prefix}auxiliary_heads."
        if not any(name.startswith(heads_prefix) for name in state):
            heads = self.auxiliary_heads.state_dict()
            state.update({heads_prefix + name: value for name, value in heads.items()})
        super()._load_from_state_dict(state, prefix, *arguments)  # type: ignore[misc]


@functools.cache
def _make_class(base: type[nn.Module]) -> type[nn.Module]:
    return type(f"Auxiliary{base.__name__}", (_Auxiliary, base), {"__module__": __name__})


def _auxiliary_detector(
    *, detector: str, auxiliary_heads: Mapping[str, Any], **config: Any
) -> BaseDetector:
    """Build a detector of type `detector` with auxiliary heads on some stages.

    Args:
        detector: Type of the plain detector, such as `FasterRCNN`.
        auxiliary_heads: Branch config by stage number, `"2"` for C2.
        config: Everything else of the plain detector's config.
    """
    built = _make_class(DETECTION_MODELS.get(detector))(**config)
    built.auxiliary_heads = ModuleDict(
        {number: MODELS.build(branch) for number, branch in auxiliary_heads.items()}
    )
    return built


auxiliary_detector = MODELS.register_module(name="AuxiliaryDetector", module=_auxiliary_detector)


def drop_auxiliary(detector: BaseDetector) -> BaseDetector:
    """Turn the detector, in place, into the plain one that it predicts as; all else stays.

    A detector without auxiliary heads stays as it is.
    """
    if isinstance(detector, _Auxiliary):
        del detector.auxiliary_heads
        detector.__class__ = type(detector).__mro__[2]
    return detector


@contextlib.contextmanager
def _collect_stages(backbone: nn.Module) -> Iterator[list[Tensor]]:
    """The outputs C2, C3, .. of the forward pass inside the context."""
    stages: list[Tensor] = []
    handle = backbone.register_forward_hook(lambda _m, _i, out: stages.extend(out))
    try:
        yield stages
    finally:
        handle.remove()


@contextlib.contextmanager
def _collect_samplings(detector: Any) -> Iterator[list[Any]]:
    """The sampled RoIs, one `SamplingResult` an image, that the main RoI head trains on.

    Those of the first stage of a cascade, which come from the proposals. Sparse R-CNN proposes
    whole images there, so those of its last stage.
    """
    samplings: list[Any] = []
    roi_head = getattr(detector, "roi_head", None)
    if roi_head is None:
        yield samplings
        return
    sampler = roi_head.bbox_sampler
    if isinstance(sampler, list):
        sampler = sampler[-1 if isinstance(roi_head, SparseRoIHead) else 0]
    instance_method = vars(sampler).get("sample")
    sample = sampler.sample

    @functools.wraps(sample)
    def recorded(*arguments: Any, **keywords: Any) -> Any:
        samplings.append(sample(*arguments, **keywords))
        return samplings[-1]

    sampler.sample = recorded
    try:
        yield samplings
    finally:
        if instance_method is None:
            del sampler.sample
        else:
            sampler.sample = instance_method
