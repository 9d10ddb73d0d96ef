"""What lies in a study's folder: cells, keys, locks, manifests, the data."""
