import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from contracts.certificates import held_by
from contracts.machines import MachineRole
from tests.nodes.machine.bench import Bench


def test_a_first_boot_makes_files_keys_and_requests(bench: Bench) -> None:
    assert "services wait for" in bench.boot()
    for file in bench.config.files:
        assert Path(file.path).read_text() == file.content
    booted = bench.requests()
    assert set(booted.requests) == {
        certificate.name for certificate in held_by(MachineRole.CONTROL_PLANE, "local")
    }
    assert booted.instance_id == "instance-1"


def test_a_request_has_an_empty_subject_and_the_public_half_of_the_machines_key(bench: Bench) -> None:
    bench.boot()
    request = x509.load_pem_x509_csr(bench.requests().requests["etcd-peer"].encode())
    key = load_pem_private_key((bench.folder / "state/keys/etcd-peer.key").read_bytes(), password=None)
    assert not list(request.subject)
    assert request.is_signature_valid
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert request.public_key() == key.public_key()


def test_only_machines_that_need_secrets_can_be_sealed_to(bench: Bench, node: Bench) -> None:
    bench.boot()
    node.boot()
    assert bench.requests().sealing_certificate.startswith("-----BEGIN CERTIFICATE-----")
    assert not node.requests().sealing_certificate


def test_another_boot_keeps_keys_and_wipes_the_root(bench: Bench) -> None:
    bench.boot()
    before = bench.requests()
    stray = bench.folder / "root" / "by-hand"
    stray.write_text("changed by hand")
    changed = Path(bench.config.files[0].path)
    changed.write_text("changed by hand")
    bench.boot()
    assert bench.requests() == before
    assert not stray.exists()
    assert changed.read_text() == bench.config.files[0].content


def test_nobody_else_can_read_what_a_boot_makes(bench: Bench) -> None:
    bench.boot()
    made = [bench.folder / "root", bench.folder / "state"]
    made += [path for folder in made for path in folder.rglob("*") if not path.is_symlink()]
    assert len(made) > 30
    for path in made:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_a_boot_with_everything_in_place_starts_the_services(bench: Bench) -> None:
    bench.boot()
    bench.deliver(bench.answer())
    bench.install()
    assert bench.boot() == "started"
