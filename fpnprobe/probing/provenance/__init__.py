"""Finds the object of each row of a loss from the memory of its targets.

Each annotated object of a batch has a number. The number is a mark on the memory that holds its
label and its box, and follows the data through the operators that make targets out of them:
assigners, samplers, coders, matchers of any library that computes them in torch. Where a prediction
meets a marked target, its elements have their object.
"""

from fpnprobe.probing.provenance.cuts import RowCut
from fpnprobe.probing.provenance.functions import LossFunctions
from fpnprobe.probing.provenance.labeling import add_cuts
from fpnprobe.probing.provenance.marking import Marking
from fpnprobe.probing.provenance.marks import BACKGROUND, NONE
from fpnprobe.probing.provenance.mode import Provenance
from fpnprobe.probing.provenance.objects import MarkedObjects
from fpnprobe.probing.provenance.witness import Witness

__all__ = [
    "BACKGROUND",
    "NONE",
    "LossFunctions",
    "MarkedObjects",
    "Marking",
    "Provenance",
    "RowCut",
    "Witness",
    "add_cuts",
]
