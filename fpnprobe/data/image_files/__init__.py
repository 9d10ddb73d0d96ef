"""The image files of a data folder: checked, decoded as the training does, cached."""
