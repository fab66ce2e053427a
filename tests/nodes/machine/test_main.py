"""The program as it is run: a process of its own, one sentence when it fails."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nodes.machine.bench import Bench


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-m", "nodes.machine", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_boot_then_requests(node: Bench) -> None:
    assert run("boot", node.folder).returncode == 0
    answer = run("requests", node.folder)
    assert answer.returncode == 0
    assert set(json.loads(answer.stdout)["requests"]) == {"kubelet", "kubelet-client"}


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["requests"], 1, "machine workers-1 has not booted yet\n"),
        (["install"], 1, "machine workers-1 has not booted yet\n"),
        (["dance"], 2, "usage: "),
    ],
)
def test_failures_are_a_sentence_and_a_status(node: Bench, arguments: list[str], status: int, told: str) -> None:
    result = run(*arguments, node.folder)
    assert result.returncode == status
    assert result.stderr.startswith(told)
    assert "Traceback" not in result.stderr


def test_a_folder_without_a_machine(tmp_path: Path) -> None:
    result = run("boot", tmp_path)
    assert (result.returncode, result.stderr) == (
        1,
        f"boot failed: No such file or directory: {tmp_path}/machine.json\n",
    )


def test_a_disk_that_can_not_be_written(node: Bench) -> None:
    (node.folder / "root").write_text("a file where a folder should be")
    result = run("boot", node.folder)
    assert result.returncode == 1
    assert str(node.folder / "root") in result.stderr


@pytest.mark.parametrize(
    ("file", "kind"), [("machine.json", "JSONDecodeError"), ("state/keys/kubelet.key", "Error")]
)
def test_a_damaged_file_is_a_sentence_too(node: Bench, file: str, kind: str) -> None:
    assert run("boot", node.folder).returncode == 0
    (node.folder / "state/keys/kubelet.csr").unlink()
    (node.folder / file).write_text("damaged")
    result = run("boot", node.folder)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("boot failed: ")
    assert kind in line
    assert str(node.folder) in line


def test_it_is_quick(node: Bench) -> None:
    """It runs three times on each machine's way into a cluster: seconds here are seconds of a create."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run("boot", node.folder).returncode == 0
    assert run("requests", node.folder).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < 1.0, f"{spent:.2f} s of CPU, about 0.12 on the machine that it was written on"
