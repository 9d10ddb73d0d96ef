"""Benches, which only time a model: no training imports them, and they change no result."""
