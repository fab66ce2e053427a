"""Which queues a worker polls, and what each of them needs; and what a worker answers to probes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from temporalio.testing import WorkflowEnvironment

from tests.support.openbao import free_port
from workers.worker.settings import from_environment
from workers.worker.wiring import KINDS, wanted_queues

EVERYWHERE = {
    "workflows": ["clusters"],
    "planning": ["east.planning"],
    "vault": ["east.vault"],
    "kubernetes": ["east.kubernetes"],
    "probes": ["east.kubernetes.probes"],
    "host": ["host"],
}
"""The kinds that need no machine of their own, with their queues."""

STARTED_S = 30


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No local stack, no logins, and another site than the local stack's."""
    monkeypatch.setenv("GIANTNETES_STATE", str(tmp_path))
    monkeypatch.setenv("GIANTNETES_SITE", "east")
    monkeypatch.delenv("GIANTNETES_QUEUES", raising=False)


@pytest.mark.parametrize(("kind", "polled"), EVERYWHERE.items())
def test_a_worker_of_one_kind_needs_no_local_stack(
    kind: str, polled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIANTNETES_QUEUES", kind)
    assert [queue.name for queue in wanted_queues(from_environment())] == polled


def test_several_kinds_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIANTNETES_QUEUES", "host, workflows,host")
    assert [queue.name for queue in wanted_queues(from_environment())] == ["clusters", "host"]


def test_the_local_stack_s_worker_polls_all(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match=r"there is no local stack in .*: set it up with `just up`"):
        wanted_queues(from_environment())
    monkeypatch.setenv("GIANTNETES_QUEUES", "lokal")
    with pytest.raises(RuntimeError, match=f"GIANTNETES_QUEUES has no lokal: there are {', '.join(KINDS)}"):
        wanted_queues(from_environment())
    monkeypatch.setenv("GIANTNETES_QUEUES", "vault")
    monkeypatch.setenv("GIANTNETES_VAULT_AUTH", "ldap")
    with pytest.raises(RuntimeError, match="GIANTNETES_VAULT_AUTH is ldap: it can be approle or kubernetes"):
        wanted_queues(from_environment())


@contextmanager
def worker(**environment: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a worker as a pod does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.worker"],
        env={**os.environ, "TEMPORAL_CONFIG_FILE": os.devnull, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_worker_tells_probes_that_temporal_has_let_it_in(temporal: WorkflowEnvironment) -> None:
    address = f"127.0.0.1:{free_port()}"
    target = temporal.client.service_client.config.target_host
    settings = {"TEMPORAL_ADDRESS": target, "GIANTNETES_HEALTH_ADDRESS": address, "GIANTNETES_QUEUES": "workflows"}
    with worker(**settings) as process:
        deadline = time.monotonic() + STARTED_S
        while not answers(f"http://{address}/readyz"):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert answers(f"http://{address}/healthz")
        process.terminate()
        _, told = process.communicate(timeout=STARTED_S)
    assert process.returncode == 0
    assert {"worker started", "worker stopping"} <= {json.loads(line)["event"] for line in told.splitlines()}


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"GIANTNETES_QUEUES": "lokal"}, "GIANTNETES_QUEUES has no lokal"),
        ({"GIANTNETES_QUEUES": "workflows", "GIANTNETES_HEALTH_ADDRESS": "nowhere"}, "can't listen at 'nowhere'"),
    ],
)
def test_a_worker_that_is_set_up_wrongly_says_so(
    setting: dict[str, str], told: str, temporal: WorkflowEnvironment
) -> None:
    with worker(TEMPORAL_ADDRESS=temporal.client.service_client.config.target_host, **setting) as process:
        _, lines = process.communicate(timeout=STARTED_S)
    assert process.returncode == 1
    last = json.loads(lines.splitlines()[-1])
    assert last["event"] == "worker can't start"
    assert told in last["reason"]
