"""Mask heads: one row for each positive RoI."""

from typing import Any

from mmdet.models.roi_heads.mask_heads import FCNMaskHead

from fpnprobe.mm.adapters.adapter import HeadAdapter, objects_of_samples, sampling_results
from fpnprobe.mm.adapters.registry import register_head


@register_head(FCNMaskHead)
class MaskAdapter(HeadAdapter):
    """Rows are the positive boxes of each image."""

    def attach(self) -> None:
        """Wrap the loss."""
        self.wrap("loss_and_target", self._around_loss)

    def _around_loss(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        samples = sampling_results(args, kwargs)
        objects = objects_of_samples(self.objects, samples, negatives=False)
        with self.rows(objects, self.roi_levels(len(objects))):
            return original(*args, **kwargs)
