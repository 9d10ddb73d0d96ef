"""DC5 against FPN on real photographs, in a size that two CPU cores train in minutes."""

name = "coco_mini"
question = (
    "Do the gradients of DC5 and of FPN divide over object sizes and paths on real photographs as "
    "they do on generated scenes?"
)
expected = (
    "Under FPN, the direct path of C2 carries almost no gradient of large objects, the deeper path "
    "does. AP stays low in so short a training: read the gradients, not the AP."
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
variants = ["DC5", "FPN"]
seeds = [0]
data = dict(
    root="coco",
    size=320,
    limits=dict(train_images=600, val_images=150, classes=6),
)
schedule = dict(iterations=400, batch=4, lr=7e-4, warmup=50, clip=10.0)
probe = dict(mode="routes", interval=25)
resources = dict(jobs=2, threads=1)

presets = dict(
    full={
        "data.limits": {},
        "data.size": 800,
        "detector.size": 800,
        "detector.anchor": 32,
        "detector.channels": 256,
        "detector.proposals": 1000,
        "detector.hidden": 1024,
        "schedule.iterations": None,
        "schedule.epochs": 12,
        "schedule.batch": 16,
        "seeds": [0, 1, 2],
    },
)
