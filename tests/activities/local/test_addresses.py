"""Who holds an address."""

import socket

import psutil
import pytest

from activities.local.addresses import check_ports
from api.errors import ErrorCode
from contracts.errors import StepError


def refusal(port: int) -> str:
    with pytest.raises(StepError) as raised:
        check_ports("127.0.0.1", [port])
    assert raised.value.code is ErrorCode.ADDRESS_IN_USE
    return raised.value.message


def test_the_holder_is_named_also_when_it_has_just_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(pid: int) -> None:
        raise psutil.NoSuchProcess(pid)

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert f"127.0.0.1:{port} is taken by process" in refusal(port)
        monkeypatch.setattr(psutil, "Process", gone)
        assert "which has just ended" in refusal(port)
