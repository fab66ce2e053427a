"""Include files as supervisord itself reads them."""

import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.options import ServerOptions

from activities.local.groups import boot_program, render_group, service_program
from nodes.machine.processes import MARKER
from nodes.model import Need, Service

VALUES = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), max_size=30)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A machine's folder with a space in its name."""
    with tempfile.TemporaryDirectory() as parent:
        made = Path(parent) / "my folder"
        (made / "log").mkdir(parents=True)
        yield made


def read(folder: Path, text: str) -> dict[str, Any]:
    """Return supervisord's configurations of the group's programs by name."""
    configuration = folder / "supervisord.conf"
    configuration.write_text(f"[supervisord]\n{text}")
    options = ServerOptions()
    options.configfile = str(configuration)
    options.process_config(do_usage=False)
    [group] = options.process_group_configs
    assert group.name == "c1.workers-1"
    return {program.name: program for program in group.process_configs}


def render(folder: Path, service: Service) -> str:
    return render_group("c1.workers-1", folder, folder, [boot_program(folder), service_program(service)])


@given(value=VALUES)
def test_arguments_reach_a_program_as_they_are(folder: Path, value: str) -> None:
    argv = ("/bin/echo", f"--option={value}")
    program = read(folder, render(folder, Service("kubelet", argv)))["kubelet"]
    assert tuple(shlex.split(program.command)) == argv


def test_programs_carry_the_machines_marker_and_their_own_environment(folder: Path) -> None:
    service = Service("kubelet", ("/bin/true",), environment={"GOGC": "400"})
    for program in read(folder, render(folder, service)).values():
        assert program.environment[MARKER] == str(folder)
        assert Path(program.stdout_logfile).parent == folder / "log"
        assert program.umask == 0o77
    assert read(folder, render(folder, service))["kubelet"].environment["GOGC"] == "400"


def test_only_the_boot_starts_by_itself_and_only_services_are_started_again(folder: Path) -> None:
    programs = read(folder, render(folder, Service("kubelet", ("/bin/true",))))
    assert {name: program.autostart for name, program in programs.items()} == {"boot": True, "kubelet": False}
    assert not programs["boot"].autorestart
    assert programs["kubelet"].autorestart


@pytest.mark.parametrize(("ready", "command"), [(True, "await-ready"), (False, "await-answer")])
def test_a_service_that_needs_something_waits_for_it(folder: Path, ready: bool, command: str) -> None:
    needs = Need("https://127.0.0.1:6443/readyz", "/ca.crt", ready=ready)
    program = read(folder, render(folder, Service("kubelet", ("/bin/kubelet", "-v"), needs=needs)))["kubelet"]
    waiting = [sys.executable, "-I", "-m", "nodes.machine", command, needs.url, "/ca.crt", "/bin/kubelet", "-v"]
    assert shlex.split(program.command) == waiting
