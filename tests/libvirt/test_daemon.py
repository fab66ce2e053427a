"""libvirt's daemon on a bad day: it stands still, or is started anew."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from api.errors import ErrorCode
from contracts.errors import StepError
from tests.libvirt.guests import in_a_room

pytestmark = in_a_room
PID_FILE = Path("/run/libvirt/libvirtd.pid")
LIMIT_SECONDS = 120


def test_a_daemon_that_stands_still_is_an_error_with_a_name(tmp_path: Path) -> None:
    from tests.libvirt.rooms import LibvirtRoom  # noqa: PLC0415 - the package libvirt is an extra

    connected, fresh = (LibvirtRoom(tmp_path / name).provider() for name in ("connected", "fresh"))
    before = connected.list_left()
    daemon = int(PID_FILE.read_text())
    os.kill(daemon, signal.SIGSTOP)
    try:
        for provider in (connected, fresh):
            began = time.monotonic()
            with pytest.raises(StepError) as raised:
                provider.list_left()
            assert raised.value.code is ErrorCode.PROVIDER_UNAVAILABLE
            assert time.monotonic() - began < LIMIT_SECONDS
    finally:
        os.kill(daemon, signal.SIGCONT)
    for provider in (connected, fresh):
        assert provider.list_left() == before


def test_a_daemon_that_was_started_anew_is_found_again(tmp_path: Path) -> None:
    from tests.libvirt.rooms import LibvirtRoom  # noqa: PLC0415

    provider = LibvirtRoom(tmp_path).provider()
    before = provider.list_left()
    os.kill(int(PID_FILE.read_text()), signal.SIGKILL)
    with pytest.raises(StepError):
        provider.list_left()
    subprocess.run(["libvirtd", "--daemon", "--pid-file", str(PID_FILE)], check=True)
    assert provider.list_left() == before
