"""The evidence of a finished study: differences, associations, claims and explanations."""
