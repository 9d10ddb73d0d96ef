"""What only looks at a model: nothing here is imported by a training, or changes a result."""
