"""COCO's matching of detections with objects, and the overlaps that it reads."""
