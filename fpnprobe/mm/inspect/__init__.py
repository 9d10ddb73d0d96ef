"""Tools that only look at a model: no training imports them, and they change no result."""
