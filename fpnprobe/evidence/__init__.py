"""What a finished study proves: differences, associations, claims and explanations."""
