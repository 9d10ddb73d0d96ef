"""FPN and its repairs on people in photographs, in a size that two CPU cores train in two hours."""

name = "coco_mini"
question = (
    "On real photographs: does FPN starve the shallow stages of large objects, does it cost AP_L, "
    "and do FPN-Aux and FPN-CFG repair it?"
)
expected = (
    "Under FPN, the direct path of C2 carries almost no gradient of large objects; under FPN-AuxU "
    "and FPN-CFG it carries all sizes. FPN gains AP_S and loses AP_L against DC5; the repairs win "
    "AP_L back, FPN-CFG2 more of it than FPN-CFG1. AP stays low in so short a training: read the "
    "gradients before the AP."
)

detector = dict(
    framework="faster_rcnn",
    backbone="lite0",
    weights="imagenet",
    frozen_stages=0,  # the stem: C2 learns, so its gradient can be measured
    channels=64,
    size=160,
    anchor=8,  # 32 px at the usual 800
    proposals=100,
)
# DC5 with the width and the candidates of the pyramid, not with all of C5's channels
_matched = dict(options=dict(form="matched"))
variants = [
    dict(name="DC5", **_matched),
    "FPN",
    dict(name="FPN-AuxU", options=dict(tau=1.0)),  # the best tau of studies/uncertainty
    "FPN-CFG1",
    "FPN-CFG2",
]
seeds = [0, 1, 2]
# people: the one class with thousands of objects of each size
data = dict(root="coco", size=160, limits=dict(classes=["person"], val_images=400))
schedule = dict(
    iterations=600,
    batch=4,
    lr=1e-3,
    warmup=50,
    clip=10.0,
    # ImageNet's features are kept, the rest is new and learns ten times as fast
    paramwise=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
probe = dict(mode="full", budget=0.05, offline=64, snapshots=[0.25, 0.5])
resources = dict(jobs=2, threads=1)

# all images and classes, the other variants and the two most telling interventions, until FPN has
# its plateau
presets = {"gpu": {
    "variants": [
        dict(name="DC5", **_matched), dict(name="DC5-Aux", **_matched),
        "FPN", "FPN-Aux", "FPN-AuxU", "FPN-CFG1", "FPN-CFG3", "FPN-Wide",
        "FPN~no-small-direct", "FPN~balanced",
    ],
    "data.limits": {},
    "data.size": 512,
    "detector.size": 512,
    "detector.anchor": 16,
    "detector.channels": 128,
    "detector.proposals": 512,
    "schedule.iterations": None,
    "schedule.epochs": 30,
    "schedule.batch": 16,
    "schedule.warmup": 200,
    "schedule.amp": "bf16",
    "resources.cells_per_gpu": 4,
}}  # fmt: skip
presets["retinanet"] = {**presets["gpu"], "detector.framework": "retinanet"}

# one H100, twelve minutes in all, in pieces
presets["h100"] = {
    "variants": ["FPN", dict(name="DC5", **_matched), "FPN-AuxU", "FPN-CFG1", "FPN-Wide1"],
    "seeds": [0, 1],
    "data.size": 256,
    "data.pad": 128,  # four shapes of batches for cuDNN to plan, not six
    "detector.size": 256,
    "detector.anchor": 8,
    "detector.channels": 128,
    "detector.proposals": 256,
    "schedule.iterations": 1500,
    "schedule.batch": 16,
    "schedule.warmup": 150,
    "schedule.amp": "bf16",
    "resources.cells_per_gpu": 5,
}
