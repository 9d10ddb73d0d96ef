"""A sketch is linear and about as long as what it stands for."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fpnprobe.probing.passes.moments import GramAccumulator, inner, square
from fpnprobe.probing.passes.sketch import sketch


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 300), seed=st.integers(0, 99))
def test_it_is_linear(size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, size, generator=generator, dtype=torch.float64)
    (left,), (x,), (y,) = sketch([a + 3 * b]), sketch([a]), sketch([b])
    assert left is not None
    assert x is not None
    assert y is not None
    assert torch.allclose(left, x + 3 * y, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["noise", "constant", "one channel", "smooth", "sparse"])
def test_it_is_about_as_long(kind: str) -> None:
    torch.manual_seed(0)
    field = torch.zeros(2, 16, 40, 40)
    if kind == "noise":
        field = torch.randn_like(field)
    elif kind == "constant":
        field += 0.3
    elif kind == "one channel":
        field[:, 3] = 1.0
    elif kind == "smooth":
        field += torch.linspace(0, 1, 40).sin()
    else:
        field[:, :, ::7, ::5] = torch.randn(2, 16, 6, 8)
    (short,) = sketch([field])
    assert short is not None
    assert len(short) * 64 == field.numel()
    assert float(short.norm() / field.norm()) == pytest.approx(1.0, abs=0.25)


def test_a_missing_part_is_seen_by_exact_and_by_sketch() -> None:
    torch.manual_seed(0)
    parts = [[torch.randn(5, 7700), None, torch.randn(13_001)] for _ in range(4)]
    total: Any = [sum(p[0] for p in parts), None, sum(p[2] for p in parts)]
    for gram in (False, True):
        for compare in ("exact", "sketch"):
            for lost in (0.0, 1e-3):
                moments = GramAccumulator(4, 3, gram=gram, compare=compare)
                for label, part in enumerate(parts):
                    moments.add(label, part)
                whole = [None if t is None else t * (1 + lost) for t in total]
                moments.add_total(whole)
                *cells, size, gap = moments.flat_statistics().tolist()
                relative = (gap / size) ** 0.5
                assert relative < 1e-6 if not lost else relative == pytest.approx(1e-3, rel=0.1)
                assert cells[0] == pytest.approx(float(square(parts[0])))
                if gram:
                    expected = float(inner(parts[0], parts[1]))
                    assert cells[1] == pytest.approx(expected, rel=1e-4)


def test_square_and_inner_are_those_of_float64() -> None:
    torch.manual_seed(0)
    a, b = [torch.randn(100_000), None], [torch.randn(100_000), torch.randn(3)]
    assert a[0] is not None
    assert b[0] is not None
    twin = float(a[0].double().square().sum())
    assert float(square(a)) == pytest.approx(twin, rel=1e-6)
    product = float((a[0].double() * b[0].double()).sum())
    assert float(inner(a, b)) == pytest.approx(product, abs=1e-6 * twin)
    assert float(square([None])) == float(inner([None], [None])) == 0.0
