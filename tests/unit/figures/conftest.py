"""An Axes to draw into, and ways to read back what was drawn."""

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure


@pytest.fixture
def ax() -> Axes:
    return Figure().add_subplot()
