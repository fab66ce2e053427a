"""Seeing which certificates a machine shows."""

import pytest

from activities.kubernetes import GuestActivities
from activities.kubernetes.serving import ports
from api.errors import ErrorCode
from contracts.certificates import CERTIFICATES, Usage
from contracts.errors import StepError
from contracts.guest import ServingRequest
from tests.activities.kubernetes.running import environment
from tests.support.guest import GuestCluster

SERVED = (
    "kube-apiserver",
    "etcd-server",
    "etcd-peer",
    "kube-controller-manager-serving",
    "kube-scheduler-serving",
)


@pytest.fixture
def shown(guest: GuestCluster) -> dict[str, str]:
    """Return the serial numbers of what the control plane machine was given, as Vault writes them."""
    return {name: guest.serial("control-plane-1", name) for name in SERVED}


def verify(activities: GuestActivities, guest: GuestCluster, serials: dict[str, str], seconds: float = 60) -> str:
    request = ServingRequest(cluster=guest.context, machine=guest.slots[0], serials=serials)
    return environment(seconds).run(activities.verify_serving, request).message


def test_every_certificate_of_a_server_is_shown_somewhere(guest: GuestCluster) -> None:
    serving = {name for name, kind in CERTIFICATES.items() if Usage.SERVER in kind.usage}
    assert {name for name in CERTIFICATES if ports(name, guest.context)} == serving


def test_what_is_shown_is_seen(activities: GuestActivities, guest: GuestCluster, shown: dict[str, str]) -> None:
    assert verify(activities, guest, shown) == "6 endpoints of control-plane-1 show their new certificates"


def test_certificates_of_clients_are_shown_to_nobody(activities: GuestActivities, guest: GuestCluster) -> None:
    assert verify(activities, guest, {"front-proxy-client": "01"}).startswith("0 endpoints")


def test_another_serial_is_waited_for_and_named(
    activities: GuestActivities, guest: GuestCluster, shown: dict[str, str]
) -> None:
    with pytest.raises(StepError) as caught:
        verify(activities, guest, {**shown, "etcd-peer": "0a:0b"}, seconds=1)
    assert caught.value.code is ErrorCode.CERTIFICATE_NOT_SERVED
    serial = int(shown["etcd-peer"].replace(":", ""), 16)
    address = guest.context.address(guest.slots[0].host)
    assert caught.value.message == f"not shown yet: etcd-peer at {address}:2380 ({serial:x})"


def test_who_does_not_answer_shows_nothing(activities: GuestActivities, guest: GuestCluster) -> None:
    machine = guest.slots[0].model_copy(update={"host": 99})
    request = ServingRequest(cluster=guest.context, machine=machine, serials={"kube-apiserver": "01"})
    with pytest.raises(StepError, match="no answer"):
        environment(1).run(activities.verify_serving, request)
