"""Data sets: generated scale scenes, and every COCO folder.

Both are the same to the rest of the program: a folder with `images/`, `annotations/train.json` and
`annotations/val.json` in COCO's format. `scenes` makes such a folder, `coco` reads and checks one,
`subset` cuts a smaller one out of it. The annotation file of such a folder has a room of its own,
and so have its images.
"""
