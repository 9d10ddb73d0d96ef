"""COCO's annotation files, read in columns: what they say, what is wrong, what is used."""
