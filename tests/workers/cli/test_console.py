"""What is made for copying reaches a narrow terminal as it is."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from deploy.stack import Ports, Stack
from workers.cli.console import errors, output
from workers.cli.demo import EXAMPLE, Demo, _farewell, _say


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a terminal of 40 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.parametrize("console", [output, errors])
def test_lines_are_never_broken(console: Callable[[], Console], capsys: pytest.CaptureFixture[str]) -> None:
    line = "temporal workflow cancel --workflow-id cluster/default/demo"
    assert console().is_terminal
    assert console().width == 40
    console().print(line)
    console().print(Text(line))
    assert "".join(capsys.readouterr()) == f"{line}\n{line}\n"


def test_the_demo_ends_with_lines_to_copy(capsys: pytest.CaptureFixture[str]) -> None:
    stack = Stack(state=Path("/s"), ports=Ports(), supervisor_socket=Path("/s/socket"))
    farewell = _farewell(Demo(EXAMPLE, stack, Path("/cache/kubectl")))
    assert max(map(len, farewell.splitlines())) > 100
    _say(farewell)
    assert capsys.readouterr().out == f"{farewell}\n"
