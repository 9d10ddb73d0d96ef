"""From the FPN form of a detector to any of its variants."""

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import ConfigDict
from mmengine.registry import FUNCTIONS

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.variants.auxiliary import add_auxiliary, option_defaults
from fpnprobe.mm.variants.dc5 import to_dc5
from fpnprobe.mm.variants.grouping import to_grouped, to_wide, to_wide_one
from fpnprobe.mm.variants.names import registered
from fpnprobe.mm.variants.rivals import to_bifpn, to_dilated, to_pafpn, to_simo
from fpnprobe.variants import VariantName, split_variant

Change = Callable[..., ConfigDict]


def check_form(model: ConfigDict) -> None:
    """Raise unless `model` is a detector with a backbone and a feature pyramid."""
    for key in ("type", "backbone", "neck"):
        if not model.get(key):
            raise FpnProbeError(
                f"the detector config has no {key!r}: a variant starts from the FPN form, "
                "model=dict(type=.., backbone=.., neck=dict(type='FPN', ..), ..)"
            )
    neck = model.neck
    neck_type = neck["type"] if isinstance(neck, dict) else "a list of necks"
    if neck_type.rpartition(".")[2] != "FPN":
        raise FpnProbeError(
            f"the detector's neck is {neck_type!r}: a variant starts from the FPN form, neck type "
            "'FPN'"
        )


def _find_change(name: VariantName) -> Change:
    if name.pyramid in registered():
        return FUNCTIONS.get(name.pyramid)  # type: ignore[no-any-return]
    if not name.grouping_stages:
        plain: dict[str, Change] = {
            "DC5": to_dc5,
            "FPN": lambda model: model,
            "FPN-Wide": to_wide,
            "FPN-Wide1": to_wide_one,
            "FPN-Dilated": to_dilated,
            "SiMo": to_simo,
            "PAFPN": to_pafpn,
            "BiFPN": to_bifpn,
        }
        return plain[name.pyramid]

    def grouped(model: ConfigDict, **options: Any) -> ConfigDict:
        if "stages" in options:
            raise FpnProbeError(
                f"variant {name.pyramid!r} has its stages in its name: leave out the option "
                "'stages', or choose FPN-CFG1..9"
            )
        return to_grouped(model, stages=name.grouping_stages, **options)

    return grouped


def apply_variant(model_cfg: Mapping[str, Any], name: str, **options: Any) -> ConfigDict:
    """The model config of variant `name`, made from the FPN form of a detector.

    The given config is left as it is.

    Args:
        model_cfg: The `model` dict of an mmdet config whose neck is an `FPN`.
        name: Such as `DC5`, `FPN-AuxU` or `FPN-CFG2-Aux`, or a user's own pyramid: the name of a
            function `(model_cfg, **options) -> model_cfg` in `mmengine.registry.FUNCTIONS`.
        options: See the modules of the methods; an option that the variant does not have is an
            error.

    Raises:
        FpnProbeError: For an unknown name (with the nearest ones), an option that does not exist,
            or a detector without the parts that the variant needs.
    """
    base, intervention = split_variant(name)
    if intervention is not None:
        raise FpnProbeError(
            f"{name!r} is an intervention {intervention!r} on variant {base!r}: build the variant, "
            "then apply the intervention to the model"
        )
    variant = VariantName.parse(base, registered())
    model = ConfigDict(copy.deepcopy(dict(model_cfg)))
    check_form(model)
    supervision = {
        key: options.pop(key) for key in option_defaults(variant.supervision) if key in options
    }
    built = _apply_change(_find_change(variant), variant.pyramid, model, options)
    if not variant.supervision:
        return built
    return add_auxiliary(built, base=model, supervision=variant.supervision, **supervision)


def _apply_change(
    change: Change, pyramid: str, model: ConfigDict, options: Mapping[str, Any]
) -> ConfigDict:
    """Apply the pyramid's change; an option it does not take is the caller's error."""
    try:
        inspect.signature(change).bind(model, **options)
    except TypeError as error:
        raise FpnProbeError(
            f"variant {pyramid!r} does not take the options {', '.join(options)}: {error}"
        ) from error
    return change(copy.deepcopy(model), **options)
