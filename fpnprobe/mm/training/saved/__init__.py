"""Files of a training: its whole state, weights on the way, the trained model."""
