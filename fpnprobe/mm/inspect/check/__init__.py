"""Do the invariants hold on this model? One batch, generated or given, through any mmdet config."""

from fpnprobe.mm.inspect.check.config import check_config
from fpnprobe.mm.inspect.check.model import check_model

__all__ = ["check_config", "check_model"]
