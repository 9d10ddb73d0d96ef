"""The inputs of a forward pass in another floating type, and operators that join two types."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class MixedTypes(TorchFunctionMode):
    """Joins numbers of two types where torch refuses to.

    A head that makes its targets as float32 by word could not be measured in float64 otherwise.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function again in the wider type, or with what is assigned in the target's."""
        kwargs = kwargs or {}
        try:
            return func(*args, **kwargs)
        except RuntimeError as error:
            if "dtype" not in str(error):
                raise
        if func is Tensor.__setitem__:
            args = (*args[:2], args[2].to(args[0].dtype))
        else:
            args, kwargs = (
                map(_widen_tensor, args),
                {key: _widen_tensor(keyword_value) for key, keyword_value in kwargs.items()},
            )
        return func(*args, **kwargs)


def _widen_tensor(value: Any) -> Any:
    is_narrow = isinstance(value, Tensor) and value.dtype == torch.float32
    return value.double() if is_narrow else value


def cast_inputs(value: Any, dtype: torch.dtype) -> Any:
    """Cast tensors with a fractional part to another type, within what a detector is given."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, Mapping):
        return {key: cast_inputs(item, dtype) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(cast_inputs(item, dtype) for item in value)
    if hasattr(value, "gt_instances"):  # a data sample
        value = copy.copy(value)
        for name in ("gt_instances", "ignored_instances"):
            if name in value:
                setattr(value, name, _cast_instances(getattr(value, name), dtype))
    return value


def _cast_instances(instances: Any, dtype: torch.dtype) -> Any:
    instances = instances.clone()
    for name, field in instances.items():
        tensor = getattr(field, "tensor", field)
        if isinstance(tensor, Tensor) and tensor.is_floating_point():
            setattr(instances, name, field.to(dtype))
    return instances
