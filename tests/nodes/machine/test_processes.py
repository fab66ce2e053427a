import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nodes.machine.processes import MARKER, end_processes, find_marked, find_processes


@contextlib.contextmanager
def sleeping(**options: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], **options) as process:
        try:
            yield process
        finally:
            process.kill()


def marked(folder: Path) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    return sleeping(env={**os.environ, MARKER: str(folder)})


def test_a_machines_processes_are_found_and_ended_and_no_others(tmp_path: Path) -> None:
    with (
        marked(tmp_path / "node-1") as own,
        marked(tmp_path / "node-10") as other,
        sleeping(cwd=tmp_path) as visitor,
    ):
        assert [process.pid for process in find_processes(tmp_path / "node-1")] == [own.pid]
        assert {folder.name for folder, _ in find_marked(tmp_path)} == {"node-1", "node-10"}
        assert end_processes(tmp_path / "node-1") == [own.pid]
        assert own.poll() is not None
        assert other.poll() is None
        assert visitor.poll() is None
    assert not find_marked(tmp_path)


def test_children_of_a_living_supervisor_are_spared(tmp_path: Path) -> None:
    with marked(tmp_path) as process:
        assert end_processes(tmp_path, spare_children_of=os.getpid()) == []
        assert process.poll() is None
