"""Runs the cells of a study: on this machine or under Slurm, step by step."""
