"""The table of what each head family can do names every family."""

from fpnprobe.mm import adapters
from fpnprobe.mm.adapters import registry


def test_every_registered_adapter_of_ours_has_a_row() -> None:
    modules = {adapter.__module__ for adapter in registry._ADAPTERS.values()}
    ours = {name.rpartition(".")[2] for name in modules if name.startswith(adapters.__name__)}
    assert len(ours) >= 7
    for name in ours:
        assert f"`{name}`" in (adapters.__doc__ or ""), name
