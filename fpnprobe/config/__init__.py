"""The study file: its schema, its variants, its overrides; pydantic alone, no torch."""
