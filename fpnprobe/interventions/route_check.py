"""A refusal of interventions on stages and routes that the graph of a loss does not have."""

from collections.abc import Mapping

from torch import Tensor

from fpnprobe.errors import FpnProbeError
from fpnprobe.interventions.edges import Place
from fpnprobe.interventions.intervention import Intervention
from fpnprobe.probing.graph import Edge
from fpnprobe.probing.passes.arrivals import only_arrives


def refuse_missing_routes(
    intervention: Intervention,
    features: Mapping[str, Tensor | None],
    edges: Mapping[Place, list[Edge]],
) -> None:
    """Refuse an intervention at a stage or route that this training does not have.

    Args:
        intervention: What is wanted.
        features: Stage outputs by name.
        edges: Edges of the graph by stage and route.

    Raises:
        FpnProbeError: If a stage is missing or frozen, or has no such route.
    """
    balance = intervention.balance
    needed_routes = [(s, gain.route) for gain in intervention.gains for s in gain.stages]
    needed_routes += [(s, balance.route) for s in balance.stages] if balance else []
    for stage, route in needed_routes:
        feature = features.get(stage)
        if feature is None:
            raise FpnProbeError(
                f"{intervention!r}: the backbone gives no {stage}; it gives {', '.join(features)}"
            )
        if not feature.requires_grad or only_arrives(feature):
            raise FpnProbeError(
                f"{intervention!r}: {stage} is frozen, no gradient reaches it; train it "
                "(frozen_stages=-1) or leave it out"
            )
        if not edges.get((stage, route)):
            existing_routes = [r for (s, r), ends in edges.items() if s == stage and ends]
            raise FpnProbeError(
                f"{intervention!r}: {stage} has no {route} route; "
                f"it has {', '.join(existing_routes) or 'none'}"
            )
