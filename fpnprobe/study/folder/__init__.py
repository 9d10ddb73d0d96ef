"""The content of a study's folder: cells, keys, locks, manifests, the data."""
