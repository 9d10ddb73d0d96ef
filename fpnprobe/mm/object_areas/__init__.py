"""The ground-truth area of every object, carried from the annotations to the loss rows."""
