"""Stages of any backbone: C_i is the map that the neck reads, with the parameters of its graph.

For backbones whose stages are not known by name (`stages.stages`): HRNet, Darknet, CSPDarknet,
CSPNeXt, EfficientNet, MobileNetV2, PVT, VGG, Hourglass and others. What lies below the first map,
the stem included, belongs to the first stage.
"""

from collections.abc import Sequence
from math import log2

from torch import Tensor, nn
from torch.autograd.graph import Node

from fpnprobe.probing.taps import Tap


def map_levels(maps: Sequence[Tensor], width: int) -> list[int]:
    """Number the maps: log2 of their stride, or counted on where strides do not grow.

    >>> import torch
    >>> map_levels([torch.empty(1, 1, s, s) for s in (16, 8, 8)], 128)
    [3, 4, 5]
    """
    levels: list[int] = []
    for feature in maps:
        by_stride = round(log2(max(width / feature.shape[-1], 1)))
        levels.append(max(by_stride, levels[-1] + 1) if levels else by_stride)
    return levels


def map_taps(maps: Sequence[Tensor], width: int) -> list[Tap]:
    """Return the taps C_i of a backbone's maps, shallow to deep.

    Args:
        maps: What the backbone returned.
        width: Width of the images that it was given, in px.
    """
    visited: set[Node] = set()
    taps = []
    for level, feature in zip(map_levels(maps, width), maps, strict=True):
        parameters = _parameters_below(feature, visited)
        taps.append(Tap(f"C{level}", level, feature, tuple(parameters), routed=True))
    return taps


def _parameters_below(tensor: Tensor, visited: set[Node]) -> list[nn.Parameter]:
    """Return the parameters that a tensor was computed with and no shallower map was."""
    todo = [tensor.grad_fn] if tensor.grad_fn is not None else []
    parameters = []
    while todo:
        node = todo.pop()
        if node in visited:
            continue
        visited.add(node)
        variable = getattr(node, "variable", None)
        if isinstance(variable, nn.Parameter):
            parameters.append(variable)
        todo += [child for child, _ in node.next_functions if child is not None]
    return parameters
