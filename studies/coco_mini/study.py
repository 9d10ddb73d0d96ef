"""FPN and its repairs on real photographs, in a size that two CPU cores train in an hour."""

name = "coco_mini"
question = (
    "On real photographs: does FPN starve the shallow stages of large objects, does it cost AP_L, "
    "and do FPN-Aux and FPN-CFG repair it?"
)
expected = (
    "Under FPN, the direct path of C2 carries almost no gradient of large objects; under FPN-AuxU "
    "and FPN-CFG it carries all sizes. FPN gains AP_S and loses AP_L against DC5; the repairs win "
    "AP_L back. AP stays low in so short a training: read the gradients before the AP."
)

detector = dict(
    framework="faster_rcnn",
    backbone="lite0",
    weights="imagenet",
    frozen_stages=0,  # the stem: C2 learns, so its gradient can be measured
    channels=64,
    size=320,
    anchor=16,
    proposals=100,
)
variants = ["DC5", "FPN", "FPN-AuxU", "FPN-CFG1"]
seeds = [0]
data = dict(
    root="coco",
    size=320,
    limits=dict(train_images=600, val_images=150, classes=6),
)
schedule = dict(iterations=400, batch=4, lr=7e-4, warmup=50, clip=10.0)
probe = dict(mode="full", interval=25, offline=64, snapshots=[0.25, 0.5])
resources = dict(jobs=2, threads=1)

# every variant and the two most telling interventions, on all images, until FPN has its plateau
presets = {"gpu": {
    "variants": [
        "DC5", "DC5-Aux", "FPN", "FPN-Aux", "FPN-AuxU", "FPN-CFG1", "FPN-CFG3", "FPN-Wide",
        "FPN~no-small-direct", "FPN~balanced",
    ],
    "seeds": [0, 1, 2],
    "data.limits": {},
    "data.size": 512,
    "detector.size": 512,
    "detector.channels": 128,
    "detector.proposals": 512,
    "schedule.iterations": None,
    "schedule.epochs": 30,
    "schedule.batch": 16,
    "schedule.lr": 1e-3,
    "schedule.warmup": 200,
    "schedule.amp": "bf16",
    "probe.interval": 50,
    "resources.jobs": 4,
}}  # fmt: skip
presets["retinanet"] = {**presets["gpu"], "detector.framework": "retinanet"}
