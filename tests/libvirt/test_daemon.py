"""libvirt's daemon on a bad day: it stands still, or is started anew."""

import os
import signal
import subprocess
import time
from ipaddress import IPv4Network
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
    """With a network: one that has any ended itself for want of a program that it doesn't even run for them."""
    from activities.libvirt.xml import NetworkSpec, network_xml  # noqa: PLC0415
    from tests.libvirt.rooms import LibvirtRoom  # noqa: PLC0415

    room = LibvirtRoom(tmp_path)
    provider, network = room.provider(), room.places.network("daemon")
    spec = NetworkSpec(network, room.places.bridge("daemon"), "daemon", IPv4Network("10.63.254.0/24"))
    room.hypervisor.ensure_network(network, network_xml(spec))
    before = provider.list_left()
    os.kill(int(PID_FILE.read_text()), signal.SIGKILL)
    with pytest.raises(StepError):
        provider.list_left()
    subprocess.run(["libvirtd", "--daemon", "--pid-file", str(PID_FILE)], check=True)
    for _ in range(2):
        assert provider.list_left() == before
        time.sleep(2)
    assert room.hypervisor.connection.networkLookupByName(network).isActive()
    room.hypervisor.remove_network(network)
