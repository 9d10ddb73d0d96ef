"""By which consumer a gradient reaches a stage output: read from the edges of the graph.

At C_i the incoming gradient is a sum over graph edges, each from one consumer. Walking from the
later stage outputs without passing another one finds the `deeper` edges; walking from the loss
finds the others: `auxiliary` where only auxiliary heads lead to them, `direct` elsewhere.
Removable hooks on the nodes above those edges add up what flows through; the forward pass is not
touched. (Identity views would do as well, but change the order of float sums and so the training.)
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node

from fpnprobe.errors import FpnProbeError

ROUTES = ("direct", "auxiliary", "deeper")
Edge = tuple[Node, int]  # a node and the index of the input that its gradient goes to


class Routes:
    """Collects the parts of the gradient of each stage output, at every backward pass.

    Args:
        loss: The scalar that will be differentiated.
        features: Stage outputs in order, by name; only those in the graph have routes.
        auxiliary: Tensors made by auxiliary heads: what they return and their losses.

    Raises:
        FpnProbeError: if a stage output is not what its consumers read.

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
    ) -> None:
        self._collected: dict[tuple[str, str], Tensor] = {}
        self._handles: list[Any] = []
        self.edges, self.used = route_edges(loss, features, auxiliary=auxiliary)
        for key, edges in self.edges.items():
            for node, index in edges:
                self._listen(node, index, key)

    def _listen(self, node: Node, index: int, key: tuple[str, str]) -> None:
        def hook(inputs: Any, _outputs: Any) -> None:
            gradient = inputs[index]
            if gradient is not None:
                before = self._collected.get(key)
                self._collected[key] = gradient if before is None else before + gradient

        self._handles.append(node.register_hook(hook))

    def take(self) -> dict[tuple[str, str], Tensor]:
        """Return the gradients by (stage, route) since the last call, and forget them."""
        found, self._collected = self._collected, {}
        return found

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
        FpnProbeError: if a stage output is not what its consumers read.
    """
    kept = {name: f for name, f in features.items() if f.grad_fn is not None}
    targets = {_source(feature): name for name, feature in kept.items()}
    stops = {node for node, _ in targets}
    heads = {t.grad_fn for t in auxiliary if t.grad_fn is not None} - stops
    direct = _edges([loss.grad_fn], stops | heads, targets)
    helped = _edges(heads, stops, targets)
    found: dict[tuple[str, str], list[Edge]] = {}
    names = list(kept)
    for i, name in enumerate(names):
        below = _edges([kept[n].grad_fn for n in names[i + 1 :]], stops, targets)
        deeper = below.get(name, set())
        plain = direct.get(name, set())
        if plain & deeper:
            raise FpnProbeError(
                f"{name}: its consumers read something computed from it, not itself, so its routes "
                "cannot be told apart: take the stage's output where the paths fork"
            )
        found[name, "direct"] = list(plain)
        found[name, "auxiliary"] = list(helped.get(name, set()) - plain - deeper)
        found[name, "deeper"] = list(deeper)
    return found, ROUTES if heads else ("direct", "deeper")


def _source(tensor: Tensor) -> Edge:
    assert tensor.grad_fn is not None
    return tensor.grad_fn, tensor.output_nr


def _edges(
    roots: Iterable[Node | None],
    stops: Collection[Node],
    targets: Mapping[Edge, str],
) -> dict[str, set[Edge]]:
    """Edges into each target found from `roots` without passing a node in `stops`."""
    found: dict[str, set[Edge]] = {}
    todo = [root for root in roots if root is not None]
    seen = set(todo)
    while todo:
        node = todo.pop()
        for index, (child, output) in enumerate(node.next_functions):
            if child is None:
                continue
            name = targets.get((child, output))
            if name is not None:
                found.setdefault(name, set()).add((node, index))
            if child not in stops and child not in seen:
                seen.add(child)
                todo.append(child)
    return found


def refuse_checkpointing(loss: Tensor) -> None:
    """Raise where the graph holds reentrant checkpoints, which give no partial gradients.

    Raises:
        FpnProbeError: naming the remedy.
    """
    todo = [loss.grad_fn] if loss.grad_fn is not None else []
    seen = set(todo)
    while todo:
        node = todo.pop()
        if "CheckpointFunction" in node.name():
            raise FpnProbeError(
                "the model uses reentrant gradient checkpointing (with_cp=True), which refuses "
                "partial gradients: set with_cp=False, or use use_reentrant=False in every "
                "iteration of the run"
            )
        for child, _ in node.next_functions:
            if child is not None and child not in seen:
                seen.add(child)
                todo.append(child)
