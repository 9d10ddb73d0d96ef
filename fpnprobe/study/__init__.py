"""Studies: a question, with variants x seeds; only the cells that are missing run.

A study file is Python (it is run: open only your own) and names what `fpnprobe.config.schema.Study`
lists. A cell is one variant with one seed; its key is a hash of everything its result depends on.

>>> from fpnprobe.study import load
>>> load("studies/quickstart", ["schedule.iterations=10"]).schedule.iterations
10
"""

from fpnprobe.config.loading import load
from fpnprobe.config.schema import Study
from fpnprobe.study.planning import plan
from fpnprobe.study.snapshot import status
from fpnprobe.variants import slug, split_variant

__all__ = ["Study", "load", "plan", "slug", "split_variant", "status"]
