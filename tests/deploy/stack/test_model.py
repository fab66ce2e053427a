import stat
from pathlib import Path

import pytest

from deploy.stack import Stack, StackError, layout, load
from deploy.stack.model import description


def test_nothing_is_set_up_before_the_first_up(state: Path) -> None:
    assert Stack.read(state) is None
    with pytest.raises(StackError, match="just up"):
        load()


def test_ports_and_socket_stay_as_they_were_chosen_first(state: Path) -> None:
    first = layout.ensure(state)
    assert layout.ensure(state) == first == load()


def test_addresses_are_on_loopback(stack: Stack) -> None:
    assert stack.temporal_address == f"127.0.0.1:{stack.ports.temporal}"
    assert stack.temporal_ui_url == f"http://127.0.0.1:{stack.ports.temporal_ui}"
    assert stack.vault_address == f"http://127.0.0.1:{stack.ports.openbao}"
    assert stack.host_api_url == f"https://127.0.0.1:{stack.ports.host_apiserver}"
    assert stack.metrics_address == f"127.0.0.1:{stack.ports.metrics}"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"ports": {"temporal": 70000}}', '{"surprise": 1}'])
def test_a_damaged_description_is_named_with_the_way_out(state: Path, text: str) -> None:
    layout.ensure(state)
    description(state).write_text(text)
    with pytest.raises(StackError) as caught:
        load()
    assert str(description(state)) in caught.value.message
    assert "ports are chosen anew" in caught.value.hint
    description(state).unlink()


def test_a_description_that_cannot_be_read_is_named(state: Path) -> None:
    layout.ensure(state)
    description(state).unlink()
    description(state).mkdir()
    with pytest.raises(StackError, match="can't be read: Is a directory"):
        load()
    description(state).rmdir()


def test_every_folder_is_closed_to_other_users(stack: Stack) -> None:
    folders = [stack.state, *(path for path in stack.state.rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_a_deep_state_folder_has_its_socket_in_the_temporary_folder(state: Path) -> None:
    stack = layout.ensure(state / ("deep" * 20))
    socket = stack.supervisor_socket
    assert len(str(socket)) <= layout.SOCKET_PATH_BYTES
    assert not socket.is_relative_to(stack.state)
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    socket.parent.rmdir()


def test_a_socket_folder_that_others_can_enter_is_refused(state: Path) -> None:
    stack = layout.ensure(state / ("deep" * 20))
    stack.supervisor_socket.parent.chmod(0o755)
    with pytest.raises(StackError, match="not this user's alone"):
        layout.ensure(stack.state)
    stack.supervisor_socket.parent.rmdir()
