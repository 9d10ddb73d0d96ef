"""The rules of `fpnprobe.evidence.diagnosis`, in the order of its tables."""

from fpnprobe.evidence.rules.cosine_rules import CANCELLATION_RULE, CONFLICT_RULE
from fpnprobe.evidence.rules.rule import Rule, Subject, judge
from fpnprobe.evidence.rules.share_rules import (
    AUXILIARY_RULE,
    DIRECT_SHARE_RULE,
    INDEX_RULE,
    STARVING_RULE,
)
from fpnprobe.evidence.rules.state_rules import FROZEN_RULE, SOUNDNESS_RULE

__all__ = ["RULES", "Rule", "Subject", "judge"]

RULES = (
    SOUNDNESS_RULE,
    FROZEN_RULE,
    DIRECT_SHARE_RULE,
    INDEX_RULE,
    CANCELLATION_RULE,
    CONFLICT_RULE,
    STARVING_RULE,
    AUXILIARY_RULE,
)
