"""Chooses the iterations that are measured: schedules, a budget, and the cost behind it."""
