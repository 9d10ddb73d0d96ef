"""`-Aux` and `-AuxU`: auxiliary heads on C2..C4, plain or weighed by uncertainty (Eq. 8-11)."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from mmengine.config import ConfigDict

from fpnprobe.errors import FpnProbeError
from fpnprobe.methods import UncertaintyOptions
from fpnprobe.mm.variants.geometry import (
    Anchors,
    level_strides,
    one_level_extractor,
    one_level_head,
    one_level_train_cfg,
    stage_strides,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuxiliaryOptions:
    """The choices that the paper leaves open about Eq. 8-9, with our defaults.

    Attributes:
        auxiliary_stages: Stages with an auxiliary head.
        auxiliary_width: Channels after the 1x1 projection of C_i: as many as the `pyramid` has (256
            in mmdet's configs), a number, or `raw` for no projection.
        auxiliary_hidden: Width of the two linear layers of a two-stage head; None is that of the
            detector's own head, or 1024.
        auxiliary_convs: Stacked convolutions of a one-stage head; None is as many as the detector's
            own.
        auxiliary_anchors: Anchors a location of a one-stage head, of `one_level_anchors`. An
            `octave` apart (RetinaNet: 15) every object has anchors of an IoU above 0.5. `all` (45)
            has RetinaNet's overlaps at three times the memory. `own` (9) matches large objects by
            ties of tiny overlaps: Some get thousands of anchors, others none.
    """

    auxiliary_stages: tuple[int, ...] = (2, 3, 4)
    auxiliary_width: int | Literal["pyramid", "raw"] = "pyramid"
    auxiliary_hidden: int | None = None
    auxiliary_convs: int | None = None
    auxiliary_anchors: Anchors = "octave"

    def __post_init__(self) -> None:
        if self.auxiliary_anchors not in get_args(Anchors):
            raise FpnProbeError(
                f"auxiliary_anchors={self.auxiliary_anchors!r}: expected "
                f"{', '.join(get_args(Anchors))}"
            )


def option_defaults(supervision: str) -> dict[str, Any]:
    """All options of `Aux` or `AuxU` with their defaults; none without supervision."""
    if not supervision:
        return {}
    head_defaults = asdict(AuxiliaryOptions())
    return head_defaults | asdict(UncertaintyOptions()) if supervision == "AuxU" else head_defaults


def add_auxiliary(
    model: ConfigDict, *, base: ConfigDict, supervision: str, **options: Any
) -> ConfigDict:
    """The detector `model`, any variant of `base`, with auxiliary heads.

    Args:
        model: The config that gets the heads.
        base: Its FPN form, from which the heads are derived.
        supervision: `Aux` or `AuxU`.
        options: Fields of `AuxiliaryOptions`, and of `UncertaintyOptions` for `AuxU`.
    """
    head_options = {
        name: options.pop(name) for name in asdict(AuxiliaryOptions()) if name in options
    }
    settings = AuxiliaryOptions(**head_options)
    uncertainty = asdict(UncertaintyOptions(**options)) if supervision == "AuxU" else None
    channels, strides = list(base.neck.in_channels), stage_strides(base)
    result = ConfigDict(model, type="AuxiliaryDetector", detector=model.type)
    result.auxiliary_heads = ConfigDict()
    for stage in settings.auxiliary_stages:
        if not 2 <= stage < 2 + len(channels):
            raise FpnProbeError(
                f"auxiliary head on C{stage}: the backbone has C2..C{len(channels) + 1}"
            )
        widths: dict[Any, Any] = {"pyramid": base.neck.out_channels, "raw": None}
        width = widths.get(settings.auxiliary_width, settings.auxiliary_width)
        branch = ConfigDict(in_channels=channels[stage - 2], width=width, uncertainty=uncertainty)
        inside = width or channels[stage - 2]
        make = _roi_branch if "roi_head" in base else _dense_branch
        branch.update(make(base, settings, inside, strides[stage - 2]))
        if uncertainty and branch.head.type.endswith("FreeAnchorRetinaHead"):
            branch.head.type = "UncertainFreeAnchorHead"
        result.auxiliary_heads[str(stage)] = branch
    return result


def _roi_branch(
    base: ConfigDict, options: AuxiliaryOptions, channels: int, stride: float
) -> dict[str, Any]:
    heads, extractors = base.roi_head.bbox_head, base.roi_head.bbox_roi_extractor
    main = heads[0] if isinstance(heads, list) else heads
    extractor = extractors[0] if isinstance(extractors, list) else extractors
    head = ConfigDict(
        type="Shared2FCBBoxHead",
        in_channels=channels,
        fc_out_channels=options.auxiliary_hidden or main.get("fc_out_channels", 1024),
        roi_feat_size=main.get("roi_feat_size", 7),
        num_classes=main.num_classes,
        reg_class_agnostic=main.get("reg_class_agnostic", False),
    )
    # A query head (Sparse R-CNN) is trained on sets, with losses of its own: not for RoIs.
    if main.type.endswith("BBoxHead"):
        shared_keys = ("bbox_coder", "reg_decoded_bbox", "loss_cls", "loss_bbox")
        head.update({name: main[name] for name in shared_keys if name in main})
    return {
        "type": "AuxiliaryRoIBranch",
        "extractor": dict(one_level_extractor(extractor, stride), out_channels=channels),
        "head": head,
    }


def _dense_branch(
    base: ConfigDict, options: AuxiliaryOptions, channels: int, stride: float
) -> dict[str, Any]:
    head = one_level_head(base.bbox_head, stride, options.auxiliary_anchors)
    head.in_channels = channels
    if options.auxiliary_convs is not None:
        head.stacked_convs = options.auxiliary_convs
    train_cfg = one_level_train_cfg(base.get("train_cfg"), len(level_strides(base)))
    return {"type": "AuxiliaryDenseBranch", "head": ConfigDict(head, train_cfg=train_cfg)}
