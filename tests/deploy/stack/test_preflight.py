import shutil
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from deploy.binaries import Part, cost, golang
from deploy.stack import StackError, preflight

GIB = 1024**3
KUBERNETES, ETCD = Part(name="kubernetes", version="1.37.2"), Part(name="etcd", version="3.7.3")
PARTS = [KUBERNETES, ETCD]
Memory = namedtuple("Memory", "available")
Disk = namedtuple("Disk", "free")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with room, and with compilers' caches on the disk of ``tmp_path``."""
    monkeypatch.setenv("GIANTNETES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(golang, "caches", lambda: (tmp_path / "compiled", tmp_path / "modules"))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(8 * GIB))
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Disk(50 * GIB))


def check(folder: Path) -> list[str]:
    lines: list[str] = []
    preflight.check(folder / "state", folder / "cache", PARTS, lines.append)
    return lines


def have(monkeypatch: pytest.MonkeyPatch, *there: Part) -> None:
    """Let parts be in the cache."""
    monkeypatch.setattr(cost, "missing", lambda parts: [part for part in parts if part not in there])


@pytest.mark.usefixtures("machine")
def test_a_good_machine_passes_without_a_word(tmp_path: Path) -> None:
    assert check(tmp_path) == []


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("function", "value", "message"), [("system", "Darwin", "Darwin"), ("machine", "riscv64", "riscv64")]
)
def test_another_platform_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, value: str, message: str
) -> None:
    monkeypatch.setattr(f"platform.{function}", lambda: value)
    with pytest.raises(StackError, match=message):
        check(tmp_path)


@pytest.mark.usefixtures("machine")
def test_too_little_memory_is_an_error_and_scarce_memory_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    have(monkeypatch, *PARTS)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(GIB))
    with pytest.raises(StackError, match=r"Only 1\.0 GiB of memory"):
        check(tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(5 * GIB // 2))
    assert "2.5 GiB available" in check(tmp_path)[0]


@pytest.mark.usefixtures("machine")
def test_too_little_disk_is_an_error_that_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    have(monkeypatch, *PARTS)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Disk(GIB))
    with pytest.raises(StackError, match=str(tmp_path / "state")):
        check(tmp_path)


@pytest.mark.usefixtures("machine")
def test_what_a_build_takes_is_asked_for_only_while_something_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache" / "binaries").mkdir(parents=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Disk(3 * GIB))
    with pytest.raises(StackError, match=f"{tmp_path}/compiled .* up to 6"):
        check(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Disk(50 * GIB))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(4 * GIB))
    with pytest.raises(StackError, match=r"getting kubernetes 1\.37\.2 and etcd 3\.7\.3, .* takes 4\.5"):
        check(tmp_path)
    with pytest.raises(StackError, match="memory"):
        preflight.check_binaries(tmp_path / "cache", PARTS)
    have(monkeypatch, KUBERNETES)
    assert check(tmp_path) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Disk(GIB // 2))
    with pytest.raises(StackError, match=r"getting etcd 3\.7\.3"):
        preflight.check_binaries(tmp_path / "cache", PARTS)
    have(monkeypatch, *PARTS)
    preflight.check_binaries(tmp_path / "cache", PARTS)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("name", ["with space", "50%", 'quo"te', "semi;colon", "ha#sh"])
def test_a_path_that_not_all_parts_can_take_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StackError, match="plain names") as caught:
        check(tmp_path / name)
    assert not (tmp_path / name).exists()
    assert "special characters" in caught.value.message


@pytest.mark.usefixtures("machine")
def test_a_folder_of_somebody_elses_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    (tmp_path / "state" / "thesis.tex").write_text("")
    with pytest.raises(StackError, match="not the local stack's"):
        check(tmp_path)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o755


@pytest.mark.usefixtures("machine")
def test_a_folder_whose_description_was_deleted_is_still_ours(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "stack.lock").write_text("")
    (tmp_path / "state" / "logs").mkdir()
    assert check(tmp_path) == []


@pytest.mark.usefixtures("machine")
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="can't be made: Not a directory"):
        check(tmp_path / "file")
