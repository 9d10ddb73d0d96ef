"""Observation of one forward pass: its loss rows, the objects of each, stage outputs and maps."""
