import json
from pathlib import Path

import pytest

from nodes.machine import credentials
from nodes.machine.credentials import seen
from tests.nodes.machine.bench import Bench

USED, UNUSED, OLDER = "a" * 64, "b" * 64, "c" * 64


def line(credential: str) -> str:
    extra = {"authentication.kubernetes.io/credential-id": [f"X509SHA256={credential}"]}
    return json.dumps({"kind": "Event", "user": {"username": "system:kube-scheduler", "extra": extra}}) + "\n"


@pytest.fixture
def logs(bench: Bench) -> Path:
    folder = bench.folder / "log"
    folder.mkdir()
    (folder / "audit.log").write_text(line(USED) + line("d" * 64))
    (folder / "audit-2026-11-25T03-00-00.000.log").write_text(line(OLDER))
    return folder


def test_it_tells_which_were_used(bench: Bench, logs: Path) -> None:
    assert seen(bench.machine, [UNUSED, USED]) == f"{USED}\n"


def test_a_log_that_was_just_begun_is_read_on_from_the_one_before(bench: Bench, logs: Path) -> None:
    assert seen(bench.machine, [USED, OLDER]) == f"{USED}\n{OLDER}\n"


def test_only_the_end_is_read(bench: Bench, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "TAIL_BYTES", len(line(USED)) + 10)
    (logs / "audit.log").write_text(line(USED) * 3 + line(UNUSED))
    assert seen(bench.machine, [USED, UNUSED, OLDER]) == f"{UNUSED}\n"


def test_where_nothing_was_asked_nothing_is_seen(bench: Bench) -> None:
    assert seen(bench.machine, [USED]) == ""
