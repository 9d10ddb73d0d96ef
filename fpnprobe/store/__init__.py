"""Describes once what lies on disk: a study's folder, its cells, and the files in them.

`StoredStudy.read(folder)` reads `study.json` and the manifests; each of its `StoredCell`s has one
state, by the one rule of `fpnprobe.store.cell`, which every reader takes: `fpnprobe.open`, report,
evidence, study, attribution and probe. Nothing here needs torch.
"""

from fpnprobe.store.cell import StoredCell
from fpnprobe.store.cell_state import State
from fpnprobe.store.study import StoredStudy

__all__ = ["State", "StoredCell", "StoredStudy"]
