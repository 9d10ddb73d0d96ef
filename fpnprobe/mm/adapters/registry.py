"""The registry of adapters by the class of head that they observe."""

from collections.abc import Callable

from torch import nn

from fpnprobe.errors import FpnProbeError
from fpnprobe.mm.adapters.adapter import HeadAdapter

_OWN_WAYS = ("loss", "get_targets", "_get_targets", "_loss", "reweight")
# They override such a method, and their rows are still those that the adapter knows.
_SAME_WAYS = ("RPNHead", "ATSSHead", "UncertainFreeAnchorHead")
# They call heads in the ways that the adapters expect.
_USUAL_OWNERS = ("StandardRoIHead", "CascadeRoIHead", "SparseRoIHead")
_ADAPTERS: dict[type[nn.Module], type[HeadAdapter]] = {}


def register_head(
    head: type[nn.Module],
) -> Callable[[type[HeadAdapter]], type[HeadAdapter]]:
    """Class decorator: this adapter observes `head` and what inherits from it.

    A head needs an adapter if `fpnprobe check` says so. As an example, a head that finds one
    center for each object, and whose loss has one row for each object and then one for each image:

    >>> import torch
    >>> from fpnprobe.mm.adapters import HeadAdapter, register_head
    >>> class CenterHead(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.loss_center = torch.nn.L1Loss(reduction="sum")
    ...     def loss_by_feat(self, centers, targets):
    ...         return {"loss_center": self.loss_center(centers, targets)}
    >>> @register_head(CenterHead)
    ... class CenterAdapter(HeadAdapter):
    ...     def attach(self):
    ...         self.wrap("loss_by_feat", self.around_loss)
    ...     def around_loss(self, original, centers, targets):
    ...         images = range(len(self.objects.first) - 1)
    ...         numbers = [self.objects.of_image(i) for i in images]
    ...         background = torch.full((len(numbers),), -1)
    ...         with self.rows(torch.cat([*numbers, background])):
    ...             return original(centers, targets)
    >>> adapter_for(CenterHead()).__name__
    'CenterAdapter'

    Then `fpnprobe check` tells whether the rows add up, and compares each row's object with the
    class target, where the loss has one.

    Raises:
        FpnProbeError: If the class has no `attach`, or is no module.
    """
    if not (isinstance(head, type) and issubclass(head, nn.Module)):
        raise FpnProbeError(f"register_head({head!r}): expected the class of a head, an nn.Module")

    def register(adapter: type[HeadAdapter]) -> type[HeadAdapter]:
        if adapter.attach is HeadAdapter.attach:
            raise FpnProbeError(
                f"{adapter.__name__} has no attach(): wrap the head's methods there"
            )
        _ADAPTERS[head] = adapter
        return adapter

    return register


def adapter_for(module: nn.Module) -> type[HeadAdapter] | None:
    """The adapter of a module's class, or of the nearest class it inherits from."""
    return next((_ADAPTERS[c] for c in type(module).__mro__ if c in _ADAPTERS), None)


def fits(module: nn.Module) -> bool:
    """Whether a head makes targets and losses as the class does that its adapter was written for.

    A subclass with another way is one that defines one of these methods itself; its rows are
    read from the memory of its targets.
    """
    for kind in type(module).__mro__:
        if kind in _ADAPTERS:
            return True
        if any(name.startswith(_OWN_WAYS) for name in vars(kind)):
            return kind.__name__ in _SAME_WAYS
    return False


def calls_heads_as_usual(module: nn.Module) -> bool:
    """Whether what owns a RoI head calls it as its adapter expects: a subclass may have its way."""
    for kind in type(module).__mro__:
        if kind.__name__ in _USUAL_OWNERS:
            return True
        if any(name.startswith(_OWN_WAYS) for name in vars(kind)):
            return False
    return True
