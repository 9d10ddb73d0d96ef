"""The probe inside an mmengine training: what it installs, measures and takes away again."""

from fpnprobe.mm.hook.probe_hook import GradientProbeHook

__all__ = ["GradientProbeHook"]
