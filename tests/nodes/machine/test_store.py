import stat
from pathlib import Path

from nodes.machine.store import Generations, private_folder, write_file


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_left_half_written_by_a_crash_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".file.new").write_text("half")
    write_file(tmp_path / "file", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_generations_are_switched_as_a_whole(tmp_path: Path) -> None:
    generations = Generations(tmp_path / "pki")
    assert generations.read() == {}
    generations.switch({"a": b"1", "b": b"1"})
    generations.switch({"a": b"2"})
    assert generations.read() == {"a": b"2"}
    assert generations.holds("a")
    assert not generations.holds("b")
    assert sorted(path.name for path in (tmp_path / "pki").iterdir()) == ["000002", "current"]


def test_prune_removes_what_is_over_or_half_made(tmp_path: Path) -> None:
    generations = Generations(tmp_path)
    generations.switch({"a": b"1"})
    private_folder(tmp_path / "000002")
    (tmp_path / "000002" / "a").write_text("half")
    (tmp_path / "000002.link").symlink_to("000002")
    generations.prune()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000001", "current"]
    generations.switch({"a": b"2"})
    assert generations.read() == {"a": b"2"}


def test_private_folders_are_private_all_the_way(tmp_path: Path) -> None:
    deep = private_folder(tmp_path / "one" / "two")
    assert all(stat.S_IMODE(folder.stat().st_mode) == 0o700 for folder in (deep, deep.parent))
