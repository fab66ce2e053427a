"""Programs of the node image on the disk of a release, for operating systems that lack them."""

from pathlib import Path

import pytest

from deploy.node_image import programs
from deploy.node_image.programs import PROGRAMS, lay_out_programs, libraries_in
from nodes.self_booting import TOOLS

TOLD = """\
/usr/bin/openssl:
\tlinux-vdso.so.1 (0x00007ffc)
\tlibssl.so.3 => /lib/x86_64-linux-gnu/libssl.so.3 (0x00007f01)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f02)
/usr/lib/python3.11/lib-dynload/_x.so:
\tstatically linked
"""


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tree of an operating system with nothing else in it."""
    libraries = "usr/lib/x86_64-linux-gnu"
    files = (
        *PROGRAMS,
        "/usr/lib/python3.11/os.py",
        *(f"/{libraries}/{name}" for name in ("a.so", "xtables/b.so")),
    )
    for path in (tmp_path / "system" / file.lstrip("/") for file in files):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
        path.chmod(0o755)
    monkeypatch.setattr(programs, "_libraries", lambda *_: {"a.so"})
    return tmp_path / "system"


def test_libraries_are_those_that_are_files() -> None:
    assert libraries_in(TOLD) == {"libssl.so.3", "ld-linux-x86-64.so.2"}


def test_each_program_is_started_by_its_name(system: Path, tmp_path: Path) -> None:
    folder = tmp_path / "debian"
    lay_out_programs(folder, system)
    for name in ("python3.11", "qemu-ga", "iptables", "ip6tables-nft-restore"):
        starter, program = folder / "bin" / name, folder / "usr/bin" / name
        assert starter.resolve() == folder / "start"
        assert starter.stat().st_mode & 0o111
        assert program.read_text() == ("xtables-nft-multi" if "tables" in name else name)
    assert (folder / "usr/lib/python3.11/os.py").exists()
    assert {path.name for path in (folder / "lib").rglob("*.so")} == {"a.so", "b.so"}


def test_all_is_where_machines_look_for_it() -> None:
    folder = str(Path(TOOLS).parent)
    assert f"tree={folder} " in programs.STARTER.read_text()
    machine_program = programs.STARTER.with_name("giantnetes-machine").read_text()
    assert f"{TOOLS}/{programs.PYTHON}" in machine_program


def test_what_is_missing_is_told(system: Path, tmp_path: Path) -> None:
    (system / "usr/sbin/qemu-ga").unlink()
    with pytest.raises(FileNotFoundError, match="qemu-ga"):
        lay_out_programs(tmp_path / "debian", system)
