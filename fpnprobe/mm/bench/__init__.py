"""What only times a model: nothing here is imported by a training, or changes a result."""
