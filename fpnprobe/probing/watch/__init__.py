"""Measure while a plain PyTorch model trains: `fpnprobe.watch` and the probe that it yields.

Detectors of libraries need no adapter: `mark` the annotations that the model is given, `measure`
the loss. `taps` names the modules whose outputs are the stages, shallow to deep. In each example
`areas` are the annotation areas in px^2 of the original images, object by object through the batch.

torchvision, whose targets are one dictionary for each image:

    make = torchvision.models.detection.retinanet_resnet50_fpn
    model = make(weights=None, weights_backbone=None, num_classes=5)
    with fpnprobe.watch(model, budget=0.02, out_dir="runs/retinanet") as probe:
        for images, targets, areas in loader:
            probe.mark([t["boxes"] for t in targets], [t["labels"] for t in targets], areas=areas)
            loss = sum(model(images, targets).values())
            probe.measure(loss)
            loss.backward()

transformers, whose labels are one dictionary for each image, with boxes in parts of it:

    model = transformers.RTDetrForObjectDetection(config).train()
    stages = model.model.backbone.model.encoder.stages
    taps = {f"C{i}": stage for i, stage in enumerate(stages, start=2)}
    with fpnprobe.watch(model, taps=taps, budget=0.02, out_dir="runs/rt-detr") as probe:
        for pixels, labels, areas in loader:
            boxes, classes = [n["boxes"] for n in labels], [n["class_labels"] for n in labels]
            probe.mark(boxes, classes, areas=areas)
            loss = model(pixel_values=pixels, labels=labels).loss
            probe.measure(loss)
            loss.backward()

ultralytics, whose annotations are one table for the batch; its layers are numbered in its model's
file, and those that end C3, C4 and C5 of `yolo11n` are 4, 6 and 10:

    model = DetectionModel("yolo11n.yaml", nc=5, verbose=False).train()
    model.args = get_cfg()
    taps = {"C3": model.model[4], "C4": model.model[6], "C5": model.model[10]}
    with fpnprobe.watch(model, taps=taps, budget=0.02, out_dir="runs/yolo11n") as probe:
        for batch, areas in loader:
            probe.mark(batch["bboxes"], batch["cls"], areas=areas)
            loss = model(batch)[0].sum()
            probe.measure(loss)
            loss.backward()

Each leaves a run: `fpnprobe report runs/retinanet` makes its page, without AP, which these loops do
not evaluate.
"""

from fpnprobe.probing.watch.context import watch
from fpnprobe.probing.watch.watcher import Watch

__all__ = ["Watch", "watch"]
