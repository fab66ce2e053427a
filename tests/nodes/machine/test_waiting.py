"""Waiting for an API server."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.vault import Authority
from tests.contract.authority import TestVault
from tests.nodes.conftest import Server
from tests.nodes.frozen import make_request


@contextlib.contextmanager
def waiting(url: str, authority: Path, command: str = "await-ready") -> Iterator[subprocess.Popen[str]]:
    program = [sys.executable, "-I", "-m", "nodes.machine", command]
    argv = [*program, url, str(authority), "/bin/echo", "became", "it"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_becomes_the_program_when_the_answer_is_200(server: Server, authority_file: Path) -> None:
    with waiting(server.url, authority_file) as process:
        out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("became it\n", "", 0)
    assert server.asked == ["/readyz"] * 3


def test_any_answer_is_enough_for_who_only_needs_one(server: Server, authority_file: Path) -> None:
    with waiting(server.url, authority_file, "await-answer") as process:
        assert process.communicate(timeout=20) == ("became it\n", "")
    assert server.asked == ["/readyz"]


@pytest.mark.parametrize("trouble", ["nobody listens", "a stranger answers", "the CA is missing"])
def test_it_waits_while_there_is_nobody_to_trust(
    server: Server, authority_file: Path, tmp_path: Path, trouble: str
) -> None:
    stranger = TestVault(make_request("1.37.2-1", "node").cluster).authorities[Authority.KUBERNETES]
    (tmp_path / "stranger.crt").write_text(stranger.pem)
    url, trusted = {
        "nobody listens": ("https://127.0.0.1:1/readyz", authority_file),
        "a stranger answers": (server.url, tmp_path / "stranger.crt"),
        "the CA is missing": (server.url, tmp_path / "missing.crt"),
    }[trouble]
    with waiting(url, trusted) as process, pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.6)
    assert not server.asked
