"""Holds what was measured against its invariants: tolerances, verdicts, underflow, warnings."""
