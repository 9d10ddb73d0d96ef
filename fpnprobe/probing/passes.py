"""Backward passes that stop at the taps and give plain float32 gradients, place by place."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fpnprobe.probing.moments import Gradients
from fpnprobe.probing.reduction import Reduction
from fpnprobe.probing.routes import Routes
from fpnprobe.probing.taps import Tap


@dataclass(frozen=True, slots=True)
class Place:
    """Where gradients are split: a tap, a kind and a route."""

    tap: str
    level: int
    kind: str
    route: str


class Passes:
    """Runs backward passes over one graph, which is kept.

    Args:
        loss: The scalar training loss.
        taps: Places to read; those that do not train are `frozen`.
        parameters: Whether the stages' parameters are read too.
        weight: Factor that the training step puts on the loss; stays in the gradients.
        loss_scale: Factor of mixed precision; divided out in float32.
        auxiliary: Tensors made by auxiliary heads.
        reduction: How numbers of several processes are joined.
    """

    def __init__(
        self,
        loss: Tensor,
        taps: Sequence[Tap],
        *,
        parameters: bool,
        weight: float,
        loss_scale: float,
        auxiliary: Sequence[Tensor],
        reduction: Reduction,
    ) -> None:
        self._loss, self._weight, self._scale = loss, weight, loss_scale
        self._reduction = reduction
        self._tensors = {
            tap.name: tap.activation
            for tap in taps
            if tap.activation is not None and tap.activation.requires_grad
        }
        self._parameters: dict[str, list[nn.Parameter]] = {
            tap.name: [p for p in tap.parameters if p.requires_grad]
            for tap in taps
            if parameters and any(p.requires_grad for p in tap.parameters)
        }
        self._inputs: list[Tensor] = [
            *self._tensors.values(),
            *(p for own in self._parameters.values() for p in own),
        ]
        stages = {tap.name: self._tensors[tap.name] for tap in taps if tap.name in self._tensors}
        routed = {tap.name for tap in taps if tap.routed}
        self._routes = Routes(
            loss,
            {n: t for n, t in stages.items() if n in routed},
            auxiliary=auxiliary,
            exits={t.name: t.exit for t in taps if t.exit is not None and t.name in stages},
        )
        self.count = 0
        self.places: dict[Place, int] = {}
        self.frozen: list[Place] = []
        for tap in taps:
            names = ("total", *(self._routes.used if tap.routed else ()))
            places = [Place(tap.name, tap.level, "activation", name) for name in names]
            if tap.name in self._tensors:
                self.places.update(dict.fromkeys(places, 1))
            elif tap.activation is not None:
                self.frozen += places
            if parameters and tap.parameters:
                place = Place(tap.name, tap.level, "parameter", "total")
                if tap.name in self._parameters:
                    self.places[place] = len(self._parameters[tap.name])
                else:
                    self.frozen.append(place)

    @property
    def pulled(self) -> bool:
        """Whether some route is known only while the graph is there."""
        return bool(self._routes.pulled)

    @property
    def factor(self) -> float:
        """What cotangents are multiplied by before a pass."""
        return self._weight * self._scale

    def of_rows(self, rows: Sequence[Tensor], starts: Sequence[Tensor]) -> dict[Place, Gradients]:
        """Gradients of the rows, from their cotangents; no rows give no gradient, and no pass."""
        self._routes.take()
        found: Mapping[Tensor, Tensor | None] = {}
        if rows and self._inputs:
            found = self._backward(rows, starts)
        return self._by_place(found)

    def of_loss(self) -> dict[Place, Gradients]:
        """Undivided gradients, by a pass of their own."""
        self._routes.take()
        if not self._inputs or not self._loss.requires_grad:
            return self._by_place({})
        return self._by_place(
            self._backward([self._loss], [torch.full_like(self._loss, self.factor)])
        )

    @contextmanager
    def observed(self, found: dict[Place, Gradients]) -> Iterator[None]:
        """Fill `found` with the undivided gradients of a backward pass made inside."""
        self._routes.take()
        seen: dict[Tensor, Tensor | None] = {}
        with ExitStack() as undo:
            for tensor in self._inputs:
                source: Any = tensor  # its register_hook is not typed

                def keep(gradient: Tensor, tensor: Tensor = tensor) -> None:
                    seen[tensor] = gradient.detach()

                undo.callback(source.register_hook(keep).remove)
            yield
        found.update(self._by_place(seen, graph=False))

    def close(self) -> None:
        """Remove every hook."""
        self._routes.remove()

    def _backward(
        self, outputs: Sequence[Tensor], starts: Sequence[Tensor]
    ) -> dict[Tensor, Tensor | None]:
        self.count += 1
        gradients = torch.autograd.grad(
            outputs, self._inputs, starts, retain_graph=True, allow_unused=True
        )
        return dict(zip(self._inputs, gradients, strict=True))

    def _by_place(
        self, found: Mapping[Tensor, Tensor | None], *, graph: bool = True
    ) -> dict[Place, Gradients]:
        parts = self._routes.take(graph=graph)
        unknown = () if graph else self._routes.pulled
        return {
            place: (
                self._mean(self._parameters[place.tap], found)
                if place.kind == "parameter"
                else [self._plain(found.get(self._tensors[place.tap]))]
                if place.route == "total"
                else [self._plain(parts.get((place.tap, place.route)))]
            )
            for place in self.places
            if not (place.tap in unknown and place.route in ("direct", "auxiliary"))
        }

    def _mean(
        self, parameters: Sequence[nn.Parameter], found: Mapping[Tensor, Tensor | None]
    ) -> Gradients:
        plain = [self._plain(found.get(p)) for p in parameters]
        if self._reduction.processes == 1:
            return plain
        # Every process must bring every tensor, or they would wait for each other.
        whole = [
            torch.zeros_like(p, dtype=torch.float32) if g is None else g
            for p, g in zip(parameters, plain, strict=True)
        ]
        return self._reduction.mean(whole)

    def _plain(self, gradient: Tensor | None) -> Tensor | None:
        """Detached, at least float32, and without the loss scale."""
        if gradient is None:
            return None
        wide = gradient.detach()
        wide = wide if wide.dtype == torch.float64 else wide.float()
        return wide if self._scale == 1.0 else wide / self._scale
