"""Box heads on RoIs: Faster, Mask and Cascade R-CNN, at every stage."""

from typing import Any

from mmdet.models.roi_heads.bbox_heads import BBoxHead

from fpnprobe.mm.adapters.adapter import HeadAdapter, objects_of_samples, sampling_results
from fpnprobe.mm.adapters.registry import register_head


@register_head(BBoxHead)
class BBoxAdapter(HeadAdapter):
    """Rows are the sampled boxes: of each image its positives, then its negatives."""

    def attach(self) -> None:
        """Wrap the loss."""
        self.wrap("loss_and_target", self._around_loss)

    def _around_loss(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        objects = objects_of_samples(self.objects, sampling_results(args, kwargs))
        with self.rows(objects, self.roi_levels(len(objects))):
            return original(*args, **kwargs)
