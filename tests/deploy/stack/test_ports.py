import os
import socket
from pathlib import Path

import pytest

from deploy.stack import Ports, Stack, StackError, ports


def listen(port: int = 0) -> socket.socket:
    server = socket.socket()
    server.bind(("127.0.0.1", port))
    server.listen()
    return server


def test_usual_ports_are_chosen_when_they_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _port: True)
    assert ports.choose() == Ports()


def test_a_taken_port_is_replaced_by_one_outside_the_ephemeral_range(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ephemeral = tmp_path / "ip_local_port_range"
    ephemeral.write_text("20000\t29000\n")
    monkeypatch.setattr(ports, "_EPHEMERAL", ephemeral)
    monkeypatch.setattr(ports, "is_free", lambda port: port not in (7233, 8200))
    chosen = ports.choose()
    assert 29000 < chosen.temporal < 30000
    assert 29000 < chosen.openbao < 30000
    assert chosen.temporal != chosen.openbao
    assert chosen.host_apiserver == 6443


def test_no_free_port_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _port: False)
    with pytest.raises(StackError, match="is free"):
        ports.choose()


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with listen() as server:
        assert not ports.is_free(server.getsockname()[1])


def test_a_port_that_is_bound_on_every_address_is_not_free() -> None:
    with socket.socket() as server:
        server.bind(("", 0))
        server.listen()
        assert not ports.is_free(server.getsockname()[1])


def test_the_error_of_a_taken_port_names_port_process_and_way_out(stack: Stack) -> None:
    with listen(stack.ports.temporal), pytest.raises(StackError) as caught:
        ports.check(stack, "temporal", ("temporal", "temporal_ui"))
    assert f"Port {stack.ports.temporal} " in caught.value.message
    assert f"(process {os.getpid()})" in caught.value.message
    assert "stack.json" in caught.value.hint


def test_free_ports_pass(stack: Stack) -> None:
    ports.check(stack, "temporal", ("temporal", "temporal_ui"))
