"""Backward passes that stop at the taps and give plain float32 gradients, place by place."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fpnprobe.probing.graph import find_shallowest
from fpnprobe.probing.passes.arrivals import only_arrives
from fpnprobe.probing.passes.gradient_key import GradientKey
from fpnprobe.probing.passes.moments import Gradients
from fpnprobe.probing.passes.reduction import Reduction
from fpnprobe.probing.passes.routes import Routes
from fpnprobe.probing.step_context import StepContext
from fpnprobe.probing.taps import Tap

Sink = Callable[[dict[GradientKey, Gradients]], object]


class Passes:
    """Runs backward passes over one graph, which is kept.

    Each pass gives the gradients of one tap at a time to a sink, as soon as they are whole: they
    are never all in memory at once. A pass of no rows gives None everywhere.

    Args:
        loss: The scalar training loss.
        taps: Places to read; those that do not train are `frozen`.
        parameters: Whether the stages' parameters are read too.
        step: The training step: its factors on the loss, its auxiliary heads.
        reduction: How numbers of several processes are joined.
    """

    def __init__(
        self,
        loss: Tensor,
        taps: Sequence[Tap],
        *,
        parameters: bool,
        step: StepContext,
        reduction: Reduction,
    ) -> None:
        self._loss, self._weight, self._scale = loss, step.weight, step.loss_scale
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
        stages = {tap.name: self._tensors[tap.name] for tap in taps if tap.name in self._tensors}
        routed = {tap.name for tap in taps if tap.routed}
        self._routes = Routes(
            loss,
            {n: t for n, t in stages.items() if n in routed},
            auxiliary=step.auxiliary,
            exits={t.name: t.exit for t in taps if t.exit is not None and t.name in stages},
        )
        names = list(self._tensors)
        # Going to the taps from which no other one is reached, a pass goes through all others.
        self._shallowest_taps = (
            names if self._routes.exits_with_auxiliary else find_shallowest(self._tensors)
        )
        self._taps_on_the_way = [name for name in names if name not in self._shallowest_taps]
        self.count = 0
        self.keys: dict[GradientKey, int] = {}
        self.frozen: list[GradientKey] = []
        self.untrained = frozenset(n for n, tensor in self._tensors.items() if only_arrives(tensor))
        for tap in taps:
            routes = ("total", *(self._routes.used if tap.routed else ()))
            keys = [GradientKey(tap.name, tap.level, "activation", route) for route in routes]
            if tap.name in self._tensors:
                self.keys.update(dict.fromkeys(keys, 1))
            elif tap.activation is not None:
                self.frozen += keys
            if parameters and tap.parameters:
                key = GradientKey(tap.name, tap.level, "parameter", "total")
                if tap.name in self._parameters:
                    self.keys[key] = len(self._parameters[tap.name])
                else:
                    self.frozen.append(key)

    @property
    def has_split_exits(self) -> bool:
        """Whether some route is known only while the graph is there."""
        return bool(self._routes.exits_with_auxiliary)

    def parameters_of(self, tap: str) -> Sequence[nn.Parameter]:
        """Parameters of a tap's stage that are read."""
        return self._parameters.get(tap, ())

    @property
    def factor(self) -> float:
        """The factor that cotangents are multiplied by before a pass."""
        return self._weight * self._scale

    def of_rows(self, rows: Sequence[Tensor], starts: Sequence[Tensor], sink: Sink) -> None:
        """Gradients of the rows, from their cotangents; no rows give no gradient, and no pass."""
        self._run_pass(rows, starts, sink)

    def of_loss(self, sink: Sink) -> None:
        """Undivided gradients, by a pass of their own."""
        roots = [self._loss] if self._loss.requires_grad else []
        self._run_pass(roots, [torch.full_like(root, self.factor) for root in roots], sink)

    @contextmanager
    def observed(self, sink: Sink) -> Iterator[None]:
        """Give the undivided gradients of a backward pass made inside."""
        by_tensor: dict[Tensor, Tensor] = {}
        with self._deliver_taps(self._tensors, sink, graph=False) as delivered, ExitStack() as undo:
            for parameter in self._all_parameters:
                source: Any = parameter  # its register_hook is not typed

                def keep_gradient(gradient: Tensor, parameter: nn.Parameter = parameter) -> None:
                    by_tensor[parameter] = gradient.detach()

                undo.callback(source.register_hook(keep_gradient).remove)
            yield
        self._deliver_remaining(delivered, by_tensor, sink, graph=False)

    def close(self) -> None:
        """Remove every hook."""
        self._routes.remove()

    @property
    def _all_parameters(self) -> list[nn.Parameter]:
        return [p for stage in self._parameters.values() for p in stage]

    def _run_pass(self, outputs: Sequence[Tensor], starts: Sequence[Tensor], sink: Sink) -> None:
        inputs: list[Tensor] = [self._tensors[name] for name in self._shallowest_taps]
        inputs += self._all_parameters
        if not outputs or not inputs:
            self._deliver_remaining(set(), {}, sink)
            return
        self.count += 1
        with self._deliver_taps(self._taps_on_the_way, sink) as delivered:
            gradients = torch.autograd.grad(
                outputs, inputs, starts, retain_graph=True, allow_unused=True
            )
        self._deliver_remaining(delivered, dict(zip(inputs, gradients, strict=True)), sink)

    @contextmanager
    def _deliver_taps(
        self, names: Iterable[str], sink: Sink, *, graph: bool = True
    ) -> Iterator[set[str]]:
        """While a pass runs, give each tap's gradients away once whole; yields the names given."""
        self._routes.take(graph=False)
        delivered: set[str] = set()
        with ExitStack() as undo:
            for name in names:
                tensor: Any = self._tensors[name]

                def deliver_tap(gradient: Tensor, name: str = name) -> None:
                    delivered.add(name)
                    sink(self._of_tap(name, gradient, graph=graph))

                undo.callback(tensor.register_hook(deliver_tap).remove)
            yield delivered

    def _deliver_remaining(
        self,
        delivered: set[str],
        by_tensor: Mapping[Tensor, Tensor | None],
        sink: Sink,
        *,
        graph: bool = True,
    ) -> None:
        """Deliver what no hook delivered: shallowest taps, parameters, None for unreached taps."""
        for name, tensor in self._tensors.items():
            if name not in delivered:
                sink(self._of_tap(name, by_tensor.get(tensor), graph=graph))
        for key in self.keys:
            if key.kind == "parameter":
                sink({key: self._mean_over_processes(self._parameters[key.tap], by_tensor)})

    def _of_tap(
        self, name: str, gradient: Tensor | None, *, graph: bool
    ) -> dict[GradientKey, Gradients]:
        by_route = self._routes.take_stage(name, graph=graph)
        # What leaves a stage by its exit cannot be split once the graph is gone.
        unknown = (
            ()
            if graph or name not in self._routes.exits_with_auxiliary
            else ("direct", "auxiliary")
        )
        return {
            key: [self._unscale(gradient if key.route == "total" else by_route.get(key.route))]
            for key in self.keys
            if (key.tap, key.kind) == (name, "activation") and key.route not in unknown
        }

    def _mean_over_processes(
        self, parameters: Sequence[nn.Parameter], by_tensor: Mapping[Tensor, Tensor | None]
    ) -> Gradients:
        plain = [self._unscale(by_tensor.get(p)) for p in parameters]
        if self._reduction.processes == 1:
            return plain
        # Every process must bring every tensor, or they would wait for each other.
        whole = [
            torch.zeros_like(p, dtype=torch.float32) if g is None else g
            for p, g in zip(parameters, plain, strict=True)
        ]
        return self._reduction.mean(whole)

    def _unscale(self, gradient: Tensor | None) -> Tensor | None:
        """Detached, at least float32, and without the loss scale."""
        if gradient is None:
            return None
        wide = gradient.detach()
        wide = wide if wide.dtype == torch.float64 else wide.float()
        return wide if self._scale == 1.0 else wide / self._scale
