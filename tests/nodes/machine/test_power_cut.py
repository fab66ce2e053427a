"""A machine that loses its power at any line of its program is whole after the next boot."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import nodes.machine
from tests.contract.cutting import cuts
from tests.nodes.machine.bench import Bench


def cut_at_each_line(folder: Path, action: Callable[[], str], check: Callable[[], None]) -> int:
    """Run ``action`` on copies of ``folder``, each time cut a line later; ``check`` looks at what is left."""
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept, symlinks=True)

    def restore() -> None:
        shutil.rmtree(folder)
        shutil.copytree(kept, folder, symlinks=True)

    lines = 0
    for lines in cuts(action, [nodes.machine], restore):  # noqa: B007 - returned below
        check()
    return lines


def assert_pairs_match(bench: Bench) -> None:
    link = bench.folder / "state/pki/current"
    if link.exists():
        for file in link.glob("*.key"):
            certificate = x509.load_pem_x509_certificate(file.with_suffix(".crt").read_bytes())
            assert load_pem_private_key(file.read_bytes(), password=None).public_key() == certificate.public_key()


def serials(bench: Bench) -> set[int]:
    link = bench.folder / "state/pki/current"
    return {x509.load_pem_x509_certificate(file.read_bytes()).serial_number for file in link.glob("etcd-*r.crt")}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: what is on the disk at which line matters here, not how fast."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def test_during_a_first_boot(folder: Path) -> None:
    node = Bench(folder / "workers-1", "node")

    def check() -> None:
        node.boot()
        assert set(node.requests().requests) == set(node.config.certificates)

    assert cut_at_each_line(node.folder, node.boot, check) > 50


def test_during_the_first_install(folder: Path) -> None:
    bench = Bench(folder / "control-plane-1")
    bench.boot()
    files = bench.answer()
    bench.deliver(files)

    def check() -> None:
        assert_pairs_match(bench)
        bench.boot()
        bench.deliver(files)
        assert bench.install() == "started"
        assert_pairs_match(bench)
        for kind in ("pki", "secrets"):
            assert len(list((bench.folder / "state" / kind).iterdir())) == 2

    assert cut_at_each_line(bench.folder, bench.install, check) > 50


def test_during_a_renewal_there_is_the_old_or_the_new(folder: Path) -> None:
    bench = Bench(folder / "control-plane-1")
    bench.boot()
    asked = bench.requests()
    bench.deliver(bench.answer())
    bench.install()
    old = serials(bench)
    new_files = bench.vault.answer(bench.request.machine, asked.model_copy(update={"sealing_certificate": ""}))
    bench.deliver(new_files)
    seen: set[str] = set()

    def check() -> None:
        assert_pairs_match(bench)
        seen.add("old" if serials(bench) == old else "new")
        assert not serials(bench) & old or serials(bench) == old
        assert bench.boot() == "started"

    cut_at_each_line(bench.folder, bench.install, check)
    assert seen == {"old", "new"}
