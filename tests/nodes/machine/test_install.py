import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from contracts.machines import INCOMING, SEALED
from nodes.machine import install as module
from nodes.machine.errors import MachineError
from tests.nodes.machine.bench import Bench

Files = dict[str, str]


def current(bench: Bench, folder: str = "pki") -> dict[str, str]:
    link = bench.folder / "state" / folder / "current"
    return {path.name: path.read_text() for path in link.iterdir()}


def test_the_program_and_the_contract_mean_the_same_file() -> None:
    assert module.SEALED == SEALED
    assert INCOMING == "incoming"


def test_it_takes_over_certificates_keys_and_secrets(bench: Bench) -> None:
    bench.boot()
    files = bench.answer()
    bench.deliver(files)
    assert bench.install() == "started"
    held = current(bench)
    for name in bench.config.certificates:
        certificate = x509.load_pem_x509_certificate(held[f"{name}.crt"].encode())
        key = load_pem_private_key(held[f"{name}.key"].encode(), password=None)
        assert certificate.public_key() == key.public_key()
    assert set(current(bench, "secrets")) == {"service-account.key", "encryption.yaml"}
    assert not list((bench.folder / "state/incoming").iterdir())


def test_what_is_held_is_not_asked_for_again(bench: Bench) -> None:
    bench.boot()
    bench.deliver(bench.answer())
    bench.install()
    after = bench.requests()
    assert (after.requests, after.sealing_certificate) == ({}, "")
    assert not list((bench.folder / "state/keys").glob("sealing.*"))


@pytest.mark.parametrize(("minutes", "again"), [(59, True), (65, False)])
def test_certificates_that_end_within_an_hour_are_asked_for_again(bench: Bench, minutes: int, again: bool) -> None:
    bench.boot()
    bench.deliver(bench.answer(lifetime=timedelta(minutes=minutes)))
    bench.install()
    assert set(bench.requests().requests) == (set(bench.config.certificates) if again else set())


def test_the_same_files_again_change_nothing(bench: Bench) -> None:
    bench.boot()
    files = bench.answer()
    bench.deliver(files)
    bench.install()
    before = (current(bench), current(bench, "secrets"))
    bench.deliver(files)
    bench.install()
    assert (current(bench), current(bench, "secrets")) == before


def test_nothing_delivered_just_starts_the_services(bench: Bench) -> None:
    bench.boot()
    bench.deliver(bench.answer())
    bench.install()
    assert bench.install() == "started"


def test_part_of_the_files_is_kept_until_the_rest_comes(bench: Bench) -> None:
    bench.boot()
    files = bench.answer()
    sealed = {SEALED: files.pop(SEALED)}
    bench.deliver(files)
    assert bench.install() == "services wait for service-account.key, encryption.yaml\n"
    bench.deliver(sealed)
    assert bench.install() == "started"


def test_a_renewal_takes_new_certificates_and_keeps_the_others(bench: Bench) -> None:
    bench.boot()
    files = bench.answer()
    asked = bench.requests()
    bench.deliver(files)
    bench.install()
    again = bench.vault.answer(
        bench.request.machine,
        asked.model_copy(update={"requests": {"kube-apiserver": asked.requests["kube-apiserver"]}}),
    )
    bench.deliver({"kube-apiserver.crt": again["kube-apiserver.crt"]})
    bench.install()
    held = current(bench)
    assert held["kube-apiserver.crt"] == again["kube-apiserver.crt"] != files["kube-apiserver.crt"]
    assert held["etcd-peer.crt"] == files["etcd-peer.crt"]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda files, _: files | {"etcd-peer.crt": files["etcd-server.crt"]}, "etcd-peer is for another key"),
        (lambda files, other: files | {"etcd-ca.crt": other["etcd-ca.crt"]}, "is not signed by its CA"),
        (lambda files, other: files | {SEALED: other[SEALED]}, "can't be opened"),
        (lambda files, _: files | {"kubelet.crt": "x"}, "has no use for kubelet.crt"),
        (lambda files, _: files | {"etcd-peer.crt": "no certificate"}, "is not signed by its CA"),
        (lambda files, _: files | {SEALED: "no envelope"}, "can't be opened"),
    ],
)
def test_what_does_not_fit_is_refused_and_thrown_away(
    bench: Bench, tmp_path: Path, spoil: Callable[[Files, Files], Files], told: str
) -> None:
    stranger = Bench(tmp_path / "stranger")
    stranger.boot()
    bench.boot()
    files = bench.answer()
    bench.deliver(spoil(files, stranger.answer()))
    with pytest.raises(MachineError, match=told):
        bench.install()
    assert not (bench.folder / "state/pki/current").exists()
    assert not list((bench.folder / "state/incoming").iterdir())
    bench.deliver(files)
    assert bench.install() == "started"


def test_a_refusal_leaves_what_was_held(bench: Bench) -> None:
    bench.boot()
    bench.deliver(bench.answer())
    bench.install()
    before = current(bench)
    bench.deliver({"etcd-peer.crt": before["etcd-server.crt"]})
    with pytest.raises(MachineError):
        bench.install()
    assert current(bench) == before


def test_before_the_boot_nothing_is_taken(bench: Bench) -> None:
    with pytest.raises(MachineError, match="not booted"):
        bench.install()


def test_validity_is_what_the_certificates_say(bench: Bench) -> None:
    bench.boot()
    bench.deliver(bench.answer(lifetime=timedelta(hours=2)))
    bench.install()
    ends = json.loads(current(bench)["validity.json"])
    assert set(ends) == set(bench.config.certificates)
    assert all(abs(end - time.time() - 7200) < 60 for end in ends.values())
