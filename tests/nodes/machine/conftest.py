from pathlib import Path

import pytest

from tests.nodes.machine.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A control plane machine."""
    return Bench(tmp_path / "control-plane-1")


@pytest.fixture
def node(tmp_path: Path) -> Bench:
    """A node."""
    return Bench(tmp_path / "workers-1", "node")
