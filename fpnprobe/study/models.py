"""Every variant's model config is made before anything is written or started."""

from collections.abc import Iterable

from fpnprobe.config.cell_config import CellConfig
from fpnprobe.errors import FpnProbeError
from fpnprobe.store.cell_state import State
from fpnprobe.study.folder.cells import Cell
from fpnprobe.study.folder.study_folder import Output


def check_models(output: Output, cells: Iterable[Cell]) -> None:
    """Make the model config of each variant that has a cell to run.

    Raises:
        FpnProbeError: If `detector` or a variant's options do not make a model.
    """
    to_run = {cell.variant: cell.seed for cell in cells if cell.state() is not State.DONE}
    if not to_run:
        return
    from fpnprobe.mm.training.model import has_masks, model_config

    for variant, seed in to_run.items():
        config = CellConfig.of(output.study, variant, seed)
        try:
            model = model_config(config, classes=len(output.source.classes))
        except FpnProbeError as error:
            raise FpnProbeError(f"variant {variant}: {error}") from error
        except (TypeError, ValueError, KeyError, AttributeError, ImportError) as error:
            line = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
            raise FpnProbeError(
                f"variant {variant} makes no model ({type(error).__name__}: {line}): check "
                "detector and the variant's options in the study"
            ) from error
        if "segm" in output.study.evaluation.iou_types and not has_masks(model):
            raise FpnProbeError(
                f"variant {variant} has no mask head, and evaluation.iou_type is "
                f"{output.study.evaluation.iou_type!r}: judge its boxes ('bbox'), or take a "
                "detector with masks (Mask R-CNN)"
            )
        _check_masks(output, variant, trains=has_masks(model))


def _check_masks(output: Output, variant: str, *, trains: bool) -> None:
    """Refuse data without the masks that a variant trains on, or that are to be judged."""
    source, study = output.source, output.study
    trained, judged = source.unmasked
    if trains and trained and study.data.scenes is None:  # of scenes the box is the mask
        raise FpnProbeError(
            f"variant {variant} trains on masks, and {trained} of {source.objects[0]} objects in "
            f"{source.train} have none: use data with masks, or a detector without a mask head"
        )
    measured = trains and study.probe.offline and study.data.scenes is None
    if judged and ("segm" in study.evaluation.iou_types or measured):
        wish = "evaluation.iou_type=bbox" if not measured else "probe.offline=0"
        raise FpnProbeError(
            f"variant {variant} is measured by masks, and {judged} objects in {source.val} have "
            f"none: use data with masks, or --set {wish}"
        )
