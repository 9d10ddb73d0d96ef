"""Any COCO folder: its own classes, and its image size, scale buckets and length from the data."""

name = "own_data"
question = (
    "On these images: which object sizes do the backbone stages of DC5, of FPN and of its repairs "
    "learn from, and how do they differ in AP on small, medium and large objects?"
)
expected = (
    "If the paper's explanation holds here, the direct path of C2 carries almost no gradient of "
    "large objects under FPN and all sizes under FPN-AuxU and FPN-CFG1; FPN gains AP_S and loses "
    "AP_L against DC5, and the repairs win AP_L back."
)

detector = dict(
    framework="faster_rcnn",
    backbone="lite0",
    weights="imagenet",
    frozen_stages=0,  # the stem: C2 learns, so its gradient can be measured
    channels=64,
    proposals=100,
)
variants = ["DC5", "FPN", "FPN-AuxU", "FPN-CFG1"]
seeds = [0, 1, 2]
# the median short side of the training images, but no more than two CPU cores train in hours
data = dict(root="data", size="auto", size_limit=192, limits=dict(val_images=500))
buckets = "auto"  # COCO's, or thirds of the objects where COCO's would leave one nearly empty
schedule = dict(
    epochs=12,
    at_least=200,
    at_most=600,
    batch=4,
    lr=1e-3,
    warmup=50,
    clip=10.0,
    # ImageNet's features are kept, the rest is new and learns ten times as fast
    paramwise=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
probe = dict(mode="full", budget=0.05, offline=32)
resources = dict(jobs=2, threads=1)

presets = {"gpu": {
    "data.size_limit": 640,
    "data.limits": {},
    "detector.channels": 128,
    "detector.proposals": 512,
    "schedule.epochs": 24,
    "schedule.at_least": 1000,
    "schedule.at_most": 20000,
    "schedule.batch": 16,
    "schedule.warmup": 200,
    "schedule.amp": "bf16",
    "resources.cells_per_gpu": 2,
}}  # fmt: skip
