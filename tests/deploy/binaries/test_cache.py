"""The cache: a folder is there whole or not at all, whatever ends the run that makes it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.binaries import BinariesError, cache
from deploy.binaries.progress import Report

CONTENT = "#!/bin/sh\necho made\n"
WITHIN_S = 30.0

SLOW = """
import pathlib, sys, time
from deploy.binaries import cache
def fill(content, scratch, report):
    with open(sys.argv[1], "a") as log:
        log.write("filled\\n")
    half = content / "tool"
    half.write_text("#!/bin/sh\\n")
    print("half", flush=True)
    while not pathlib.Path(sys.argv[2]).exists():
        time.sleep(0.01)
    half.write_text("#!/bin/sh\\necho made\\n")
    half.chmod(0o755)
    return "slow"
say = lambda sentence: print(sentence, flush=True)
print(cache.ensure(cache.Bundle("thing", ["recipe"], {"tool": "tool"}, fill), say)["tool"], flush=True)
"""


def fill(content: Path, _scratch: Path, _report: Report) -> str:
    (content / "tool").write_text(CONTENT)
    (content / "tool").chmod(0o755)
    return "test"


def bundle(fill: Callable[[Path, Path, Report], str] = fill, recipe: object = ("recipe",)) -> cache.Bundle:
    return cache.Bundle("thing", list(recipe) if isinstance(recipe, tuple) else recipe, {"tool": "tool"}, fill)


def never(_content: Path, _scratch: Path, _report: Report) -> str:
    raise AssertionError("filled again")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def slow(tmp_path: Path) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", SLOW, str(tmp_path / "log"), str(tmp_path / "go on")]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def folders(cache_folder: Path) -> list[Path]:
    return [path for path in cache_folder.iterdir() if path.is_dir()]


def test_is_made_once_and_found_from_then_on(said: list[str]) -> None:
    made = cache.ensure(bundle(), said.append)
    assert made["tool"].read_text() == CONTENT
    assert cache.ensure(bundle(never), said.append) == made == cache.find(bundle())
    manifest = json.loads((made["tool"].parent / "manifest.json").read_text())
    assert manifest["source"] == "test"
    assert manifest["files"]["tool"]["size"] == len(CONTENT)


def test_finding_reads_no_executable(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made = cache.ensure(bundle(), said.append)
    monkeypatch.delattr("hashlib.file_digest")
    assert cache.find(bundle()) == made


def test_another_recipe_has_another_place(said: list[str]) -> None:
    one, other = cache.ensure(bundle(), said.append), cache.ensure(bundle(recipe=("other",)), said.append)
    assert one["tool"] != other["tool"]


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_a_failed_or_interrupted_run_leaves_nothing(
    error: BaseException, cache_folder: Path, said: list[str]
) -> None:
    def half(content: Path, _scratch: Path, _report: Report) -> str:
        (content / "tool").write_text("half")
        raise error

    with pytest.raises(type(error)):
        cache.ensure(bundle(half), said.append)
    assert folders(cache_folder) == []
    assert cache.find(bundle()) is None


def test_a_killed_run_leaves_no_half_entry_and_is_cleared_by_the_next(
    tmp_path: Path, cache_folder: Path, said: list[str]
) -> None:
    process = slow(tmp_path)
    assert line(process) == "half"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(folders(cache_folder)) == 1
    assert cache.find(bundle()) is None
    made = cache.ensure(bundle(), said.append)
    assert folders(cache_folder) == [made["tool"].parent]


def test_what_another_killed_run_left_is_cleared_too(tmp_path: Path, cache_folder: Path, said: list[str]) -> None:
    process = slow(tmp_path)
    assert line(process) == "half"
    cache.ensure(bundle(recipe=("other",)), said.append)
    assert len(folders(cache_folder)) == 2, "a living run's folder must stay"
    process.kill()
    process.communicate()
    cache.ensure(bundle(recipe=("third",)), said.append)
    assert not [path for path in folders(cache_folder) if ".work-" in path.name]


def test_two_runs_at_once_do_the_work_once(tmp_path: Path) -> None:
    first = slow(tmp_path)
    assert line(first) == "half"
    second = slow(tmp_path)
    assert line(second) == "another run is making thing: waiting for it"
    (tmp_path / "go on").touch()
    answers = [process.communicate(timeout=WITHIN_S)[0].strip() for process in (first, second)]
    assert answers[0] == answers[1] != ""
    assert (tmp_path / "log").read_text() == "filled\n"


def test_the_second_run_takes_over_when_the_first_is_killed(tmp_path: Path) -> None:
    first = slow(tmp_path)
    assert line(first) == "half"
    second = slow(tmp_path)
    line(second)
    first.kill()
    first.communicate()
    assert line(second) == "half"
    (tmp_path / "go on").touch()
    path = Path(second.communicate(timeout=WITHIN_S)[0].strip())
    assert path.read_text() == CONTENT


def truncate(tool: Path) -> None:
    os.truncate(tool, 3)


def replace(tool: Path) -> None:
    tool.write_text(CONTENT.replace("made", "evil"))
    os.utime(tool, ns=(1, 1))


def forbid(tool: Path) -> None:
    tool.chmod(0o644)


def remove(tool: Path) -> None:
    tool.unlink()


def forget(tool: Path) -> None:
    tool.with_name("manifest.json").write_text("[]")


@pytest.mark.parametrize("damage", [truncate, replace, forbid, remove, forget])
def test_a_damaged_entry_is_made_again(damage: Callable[[Path], None], said: list[str]) -> None:
    damage(cache.ensure(bundle(), said.append)["tool"])
    assert cache.find(bundle()) is None
    tool = cache.ensure(bundle(), said.append)["tool"]
    assert tool.read_text() == CONTENT
    assert os.access(tool, os.X_OK)


def test_a_restored_copy_with_another_time_is_intact(said: list[str]) -> None:
    made = cache.ensure(bundle(), said.append)
    os.utime(made["tool"], ns=(1, 1))
    assert cache.ensure(bundle(never), said.append) == made


def test_a_place_that_cannot_be_written_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GIANTNETES_CACHE", str(tmp_path / "file"))
    with pytest.raises(BinariesError, match="set GIANTNETES_CACHE"):
        cache.ensure(bundle(), said.append)


def test_waiting_is_reported_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr("deploy.binaries.progress.TICK_S", 0.05)
    process = slow(tmp_path)
    assert line(process) == "half"

    def report(sentence: str) -> None:
        said.append(sentence)
        if len(said) == 3:
            (tmp_path / "go on").touch()

    cache.ensure(bundle(never), report)
    process.communicate()
    assert said[1].startswith("still waiting for the run that makes thing, ")
