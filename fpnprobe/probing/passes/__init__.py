"""Backward passes up to the taps: gradients by label and route, and what they add up to."""
