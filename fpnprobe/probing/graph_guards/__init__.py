"""Keeps the autograd graph of a probed step whole, or refuses what would hide a part of it."""
