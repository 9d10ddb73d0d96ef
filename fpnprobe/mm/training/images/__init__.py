"""Images of a training: mmdet samples of COCO images, their masks, order and loaders."""
