"""By which consumer a gradient reaches a stage output: read from the edges of the graph.

At C_i the incoming gradient is a sum over graph edges, each from one consumer. Walking from the
later stage outputs without passing another one finds the `deeper` edges; walking from the loss
finds the others: `auxiliary` where only auxiliary heads lead to them, `direct` elsewhere.
Removable hooks on the nodes above those edges add up what flows through; the forward pass is not
touched. (Identity views would do as well, but change the order of float sums and so the training.)
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node

from fpnprobe.errors import FpnProbeError
from fpnprobe.probing.graph import Edge, edges_into, source

ROUTES = ("direct", "auxiliary", "deeper")
_AT_EXIT = "auxiliary part at the exit"


class Routes:
    """Collects the parts of the gradient of each stage output, at every backward pass.

    Args:
        loss: The scalar that will be differentiated.
        features: Stage outputs in order, by name; only those in the graph have routes.
        auxiliary: Tensors made by auxiliary heads: what they return and their losses.
        exits: Maps that neck and heads read where those are computed from the stage output, such
            as Swin's normed ones. Both read one map then, so their routes part there and not at
            the stage output; the auxiliary part is taken back from it by one more pass.

    Attributes:
        edges: Graph edges into each (stage, route).
        used: Routes that this graph can have.
        exits_with_auxiliary: Stages whose auxiliary part is taken back from the exit to the
            stage output, which needs the graph: Exit and output of each.

    Raises:
        FpnProbeError: If a stage output is not what its consumers read.

    >>> import torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> c2 = x * 2
    >>> c3 = c2 * 3
    >>> loss = (c2 * 5 + c3).sum()
    >>> with Routes(loss, {"C2": c2, "C3": c3}) as routes:
    ...     total, = torch.autograd.grad(loss, c2)
    ...     parts = routes.take()
    >>> total.tolist(), parts["C2", "direct"].tolist(), parts["C2", "deeper"].tolist()
    ([8.0, 8.0], [5.0, 5.0], [3.0, 3.0])
    """

    def __init__(
        self,
        loss: Tensor,
        features: Mapping[str, Tensor],
        *,
        auxiliary: Iterable[Tensor] = (),
        exits: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._collected: dict[tuple[str, str], Tensor] = {}
        self._handles: list[Any] = []
        self._pulling = False
        helpers = list(auxiliary)
        self.edges, self.used = route_edges(loss, features, auxiliary=helpers)
        self.exits_with_auxiliary: dict[str, tuple[Tensor, Tensor]] = {}
        for name, exit_map in (exits or {}).items():
            at_exit, _ = route_edges(loss, {name: exit_map}, auxiliary=helpers)
            auxiliary_edges = at_exit.get((name, "auxiliary"))
            if auxiliary_edges and self.edges.get((name, "direct")):
                self.exits_with_auxiliary[name] = exit_map, features[name]
                self.edges[name, _AT_EXIT] = auxiliary_edges
        for key, edges in self.edges.items():
            for node, index in edges:
                self._listen_to_node(node, index, key)

    def _listen_to_node(self, node: Node, index: int, key: tuple[str, str]) -> None:
        def add_to_route(inputs: Any, _outputs: Any) -> None:
            gradient = inputs[index]
            if gradient is not None and not self._pulling:
                before = self._collected.get(key)
                self._collected[key] = gradient if before is None else before + gradient

        self._handles.append(node.register_hook(add_to_route))

    def take(self, *, graph: bool = True) -> dict[tuple[str, str], Tensor]:
        """Return the gradients by (stage, route) since the last call, and forget them.

        Args:
            graph: Whether the graph is still there; if not, stages of `exits_with_auxiliary` have
                the sum of their direct and auxiliary parts as `direct`.
        """
        stages = dict.fromkeys(stage for stage, _ in self._collected)
        return {
            (stage, route): gradient
            for stage in stages
            for route, gradient in self.take_stage(stage, graph=graph).items()
        }

    def take_stage(self, stage: str, *, graph: bool = True) -> dict[str, Tensor]:
        """Return and forget the gradients of one stage by route; see `take`."""
        keys = [key for key in self._collected if key[0] == stage]
        by_route = {key[1]: self._collected.pop(key) for key in keys}
        at_exit = by_route.pop(_AT_EXIT, None)
        if at_exit is not None and graph:
            exit_map, feature = self.exits_with_auxiliary[stage]
            self._pulling = True
            try:
                (auxiliary_part,) = torch.autograd.grad(
                    exit_map, feature, at_exit, retain_graph=True
                )
            finally:
                self._pulling = False
            by_route["auxiliary"] = auxiliary_part
            by_route["direct"] = by_route["direct"] - auxiliary_part
        return by_route

    def remove(self) -> None:
        """Remove every hook; doing it twice is harmless."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._collected.clear()

    def __enter__(self) -> "Routes":
        return self

    def __exit__(self, *_error: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        edges = ", ".join(f"{n} {r}: {len(e)}" for (n, r), e in self.edges.items() if e)
        return f"Routes({edges})"


def route_edges(
    loss: Tensor,
    features: Mapping[str, Tensor],
    *,
    auxiliary: Iterable[Tensor] = (),
) -> tuple[dict[tuple[str, str], list[Edge]], tuple[str, ...]]:
    """Find the graph edges into each (stage, route), and the routes that this graph can have.

    Args:
        loss: The scalar that will be differentiated.
        features: Stage outputs in order, by name; only those in the graph have routes.
        auxiliary: Tensors made by auxiliary heads: what they return and their losses.

    Raises:
        FpnProbeError: If a stage output is not what its consumers read.
    """
    tracked = {name: f for name, f in features.items() if f.grad_fn is not None}
    targets = {source(feature): name for name, feature in tracked.items()}
    stops = {node for node, _ in targets}
    heads = {t.grad_fn for t in auxiliary if t.grad_fn is not None} - stops
    direct = edges_into([loss.grad_fn], stops | heads, targets)
    auxiliary_edges = edges_into(heads, stops, targets)
    edges_by_route: dict[tuple[str, str], list[Edge]] = {}
    names = list(tracked)
    for i, name in enumerate(names):
        below = edges_into([tracked[n].grad_fn for n in names[i + 1 :]], stops, targets)
        deeper = below.get(name, set())
        plain = direct.get(name, set())
        if plain & deeper:
            raise FpnProbeError(
                f"{name}: its consumers read something computed from it, not itself, so its routes "
                "cannot be told apart: take the stage's output where the paths fork"
            )
        edges_by_route[name, "direct"] = list(plain)
        edges_by_route[name, "auxiliary"] = list(auxiliary_edges.get(name, set()) - plain - deeper)
        edges_by_route[name, "deeper"] = list(deeper)
    return edges_by_route, ROUTES if heads else ("direct", "deeper")
