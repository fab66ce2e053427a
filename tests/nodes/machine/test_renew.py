import pytest

from contracts.machines import MachineRequests
from nodes.machine.errors import MachineError
from nodes.machine.renew import renew
from tests.nodes.machine.bench import Bench

NAMES = ["kube-apiserver", "etcd-peer"]


@pytest.fixture
def running(bench: Bench) -> Bench:
    """A machine with all of its certificates."""
    bench.boot()
    bench.deliver(bench.answer())
    bench.install()
    return bench


def asked(bench: Bench, *names: str) -> MachineRequests:
    return MachineRequests.model_validate_json(renew(bench.machine, [*names]))


def held(bench: Bench) -> dict[str, str]:
    link = bench.folder / "state" / "pki" / "current"
    return {path.name: path.read_text() for path in link.iterdir()}


def signed(bench: Bench, requests: MachineRequests) -> dict[str, str]:
    return bench.vault.answer(bench.request.machine, requests)


def test_new_keys_are_used_with_their_certificates_and_not_before(running: Bench) -> None:
    before = held(running)
    requests = asked(running, *NAMES)
    assert set(requests.requests) == set(NAMES)
    assert held(running) == before
    running.deliver(signed(running, requests))
    running.install()
    after = held(running)
    changed = {name for name in after if after[name] != before[name]}
    assert changed >= {f"{name}.{kind}" for name in NAMES for kind in ("key", "crt")}
    assert not {name for name in changed if name.startswith("etcd-server")}


def test_a_key_that_waits_for_its_certificate_is_asked_with_again(running: Bench) -> None:
    first, second = asked(running, *NAMES), asked(running, *NAMES)
    assert first == second
    running.deliver(signed(running, first))
    running.install()
    assert asked(running, *NAMES).requests["etcd-peer"] != first.requests["etcd-peer"]


def test_part_of_what_was_asked_for_is_taken_alone(running: Bench) -> None:
    before = held(running)
    files = signed(running, asked(running, *NAMES))
    running.deliver({"etcd-peer.crt": files["etcd-peer.crt"]})
    assert running.install() == "started"
    after = held(running)
    assert after["etcd-peer.crt"] != before["etcd-peer.crt"]
    assert after["kube-apiserver.key"] == before["kube-apiserver.key"]


def test_an_answer_to_an_older_request_is_refused_and_changes_nothing(running: Bench) -> None:
    old = signed(running, asked(running, "etcd-peer"))
    running.deliver(old)
    running.install()
    asked(running, "etcd-peer")
    before = held(running)
    running.deliver(old)
    with pytest.raises(MachineError, match="etcd-peer is for another key"):
        running.install()
    assert held(running) == before


@pytest.mark.parametrize("cut", ["csr", "key"])
def test_half_a_renewal_is_taken_up(running: Bench, cut: str) -> None:
    asked(running, *NAMES)
    (running.folder / "state" / "keys" / "etcd-peer.csr").unlink()
    if cut == "key":
        (running.folder / "state" / "keys" / "etcd-peer.key").unlink()
    running.deliver(signed(running, asked(running, *NAMES)))
    assert running.install() == "started"


def test_a_boot_in_between_loses_nothing(running: Bench) -> None:
    before, requests = held(running), asked(running, *NAMES)
    assert running.boot() == "started"
    assert held(running) == before
    assert asked(running, *NAMES) == requests


def test_what_the_machine_does_not_hold_is_refused(running: Bench) -> None:
    with pytest.raises(MachineError, match="has no use for kubelet"):
        renew(running.machine, ["kubelet"])


def test_before_the_boot_there_is_nothing_to_renew(bench: Bench) -> None:
    with pytest.raises(MachineError, match="not booted"):
        renew(bench.machine, NAMES)
