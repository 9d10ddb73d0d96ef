"""FPN-CFG1..9 and their capacity-matched controls, FPN-Wide and FPN-Wide1."""

from dataclasses import asdict
from typing import Any

from mmengine.config import ConfigDict

from fpnprobe.errors import FpnProbeError
from fpnprobe.methods import CascadeOptions, GroupingOptions

CONTROL_STAGES = 3
THREE_GROUP_WIDTH = 192  # the multiple of three and of the norm groups next below 256

_KEPT = ("in_channels", "out_channels", "num_outs", "start_level", "add_extra_convs")
_ALSO_KEPT = ("relu_before_extra_convs", "norm_cfg", "init_cfg")


def to_grouped(model: ConfigDict, *, stages: int, **options: Any) -> ConfigDict:
    """The detector with `stages` grouping stages in its pyramid (Eq. 12-17).

    Options are the fields of `GroupingOptions` and `CascadeOptions`, `all_stages` and `width` (see
    `fpnprobe.mm.detectors.necks.GroupedFPN`). All are written out, so that they are recorded.
    """
    defaults: dict[str, Any] = {**asdict(GroupingOptions()), **asdict(CascadeOptions())}
    fixed = {"all_stages": options.pop("all_stages", True), "width": options.pop("width", None)}
    start = int(model.neck.get("start_level", 0))
    if not fixed["all_stages"] and fixed["width"] is None and start:
        fixed["width"] = THREE_GROUP_WIDTH
    unknown = set(options) - set(defaults)
    if unknown:
        raise FpnProbeError(
            f"feature grouping has no option {min(unknown)!r}; options: "
            f"{', '.join([*defaults, *fixed])}"
        )
    unsupported = set(model.neck) - {"type", *_KEPT, *_ALSO_KEPT, "upsample_cfg", "end_level"}
    if unsupported or int(model.neck.get("end_level", -1)) != -1:
        name = min(unsupported) if unsupported else "end_level"
        raise FpnProbeError(
            f"the FPN's option {name!r} has no counterpart in the grouped pyramid: leave it out"
        )
    neck_options = {name: model.neck[name] for name in (*_KEPT, *_ALSO_KEPT) if name in model.neck}
    result = ConfigDict(model)
    result.neck = ConfigDict(
        type="GroupedFPN",
        **neck_options,
        upsample=model.neck.get("upsample_cfg", {}).get("mode", "nearest"),
        stages=stages,
        **fixed,
        **(defaults | options),
    )
    return result


def to_wide(model: ConfigDict, *, stages: int = CONTROL_STAGES, **options: Any) -> ConfigDict:
    """The control: as many parameters and products as `stages` grouping stages, no grouping.

    Every level swaps its own channels by the same matrices, of which there are as many, and is
    weighted and summed by the same cascade, but no channel crosses to another level (Eq. 14-15 left
    out). A gain of grouping over FPN that the control has too is a gain of size.
    """
    return to_grouped(model, stages=stages, regroup=False, **options)


def to_wide_one(model: ConfigDict, **options: Any) -> ConfigDict:
    """The control of FPN-CFG1: one stage of `to_wide`, so without f_w.

    What it has beyond FPN is one product with M_k a level (Eq. 12-13): it tells the grouping of
    FPN-CFG1 (Eq. 14-15) from that product, and is free of what the weights of a cascade do.
    """
    if "stages" in options:
        raise FpnProbeError(
            "variant 'FPN-Wide1' has its stages in its name: leave out the option 'stages', or "
            "choose FPN-Wide"
        )
    return to_wide(model, stages=1, **options)
