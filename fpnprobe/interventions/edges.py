"""Gains on graph edges while a backward pass runs, and what flowed over them before the gain."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fpnprobe.probing.graph import Edge

Place = tuple[str, str]  # stage, route


class ScaledEdges:
    """While the context lasts, gradients over the edges of a place are multiplied by its gain.

    Args:
        edges: Edges into each (stage, route).
        gains: Factor of each place; places without one, or with 1, are left alone.
        listened: Places whose gradient before the gain is summed up in `collected`.
    """

    def __init__(
        self,
        edges: Mapping[Place, list[Edge]],
        gains: Mapping[Place, float],
        listened: frozenset[Place] = frozenset(),
    ) -> None:
        self.collected: dict[Place, Tensor] = {}
        self._edges, self._gains, self._listened = edges, gains, listened
        self._handles: list[Any] = []

    def __enter__(self) -> "ScaledEdges":
        for stage_route, edges in self._edges.items():
            gain = self._gains.get(stage_route, 1.0)
            if gain != 1.0 or stage_route in self._listened:
                for node, index in edges:
                    self._handles.append(
                        node.register_hook(self._scaling_hook(stage_route, index, gain))
                    )
        return self

    def __exit__(self, *_error: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _scaling_hook(self, stage_route: Place, index: int, gain: float) -> Any:
        listens = stage_route in self._listened

        def scale_edge(inputs: Any, _outputs: Any) -> Any:
            gradient = inputs[index]
            if gradient is None:
                return None
            if listens:
                before = self.collected.get(stage_route)
                self.collected[stage_route] = gradient if before is None else before + gradient
            if gain == 1.0:
                return None
            scaled = torch.zeros_like(gradient) if gain == 0.0 else gradient * gain
            return tuple(scaled if i == index else g for i, g in enumerate(inputs))

        return scale_edge
