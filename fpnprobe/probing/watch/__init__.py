"""Measure while a plain PyTorch model trains: `fpnprobe.watch` and the probe that it yields."""

from fpnprobe.probing.watch.context import watch
from fpnprobe.probing.watch.watcher import Watch

__all__ = ["Watch", "watch"]
