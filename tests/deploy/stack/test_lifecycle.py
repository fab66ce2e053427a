"""The whole local stack but its worker: up, hurt, up again, down."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hvac
import psutil
import pytest
import requests
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from activities.local.supervisor import State
from contracts.workflows import CLUSTER_NAME
from deploy.stack import (
    Stack,
    StackError,
    lifecycle,
    load,
    reset,
    services,
    start_supervisor,
    status,
    supervisord,
    up,
)
from deploy.stack.waiting import until

SERVICES = [name for name in services.ALL if name != "worker"]


@pytest.fixture(scope="module")
def running(shared_stack: Stack) -> Stack:
    """Return a stack that is up, with a guest machine made of one program, and data in Temporal and OpenBao."""
    up(print, only=SERVICES)
    machine = shared_stack.machines / "c1.m1.new"
    machine.write_text(
        "[group:c1.m1]\nprograms = c1.m1-etcd\n"
        "[program:c1.m1-etcd]\ncommand = /bin/sleep 1000\nautorestart = true\nstdout_logfile = NONE\n"
    )
    machine.rename(machine.with_suffix(".conf"))
    supervisord.connect(shared_stack).add_group("c1.m1")
    return shared_stack


def pids(stack: Stack) -> dict[str, int]:
    return {found.program: found.pid for found in supervisord.connect(stack).all_states() if found.pid}


def registry(stack: Stack) -> hvac.Client:
    client = hvac.Client(url=stack.vault_address, token="")
    client.auth.approle.login(**json.loads(stack.approle_file("registry").read_text()))
    return client


async def remember(stack: Stack) -> None:
    """Put something into each store that must outlive what happens next."""
    registry(stack).secrets.kv.v2.create_or_update_secret(
        "clusters/acme/c1", {"id": "a1"}, mount_point="giantnetes"
    )
    client = await Client.connect(stack.temporal_address)
    await client.start_workflow(
        "Cluster",
        id="cluster/acme/c1",
        task_queue="nobody",
        search_attributes=TypedSearchAttributes([SearchAttributePair(CLUSTER_NAME, "c1")]),
    )
    host_api(stack, "POST", "/api/v1/namespaces", {"metadata": {"name": "acme"}})


async def assert_remembered(stack: Stack) -> None:
    found = registry(stack).secrets.kv.v2.read_secret_version(
        "clusters/acme/c1", mount_point="giantnetes", raise_on_deleted_version=True
    )
    assert found["data"]["data"] == {"id": "a1"}
    client = await Client.connect(stack.temporal_address)
    description = await client.get_workflow_handle("cluster/acme/c1").describe()
    assert description.typed_search_attributes[CLUSTER_NAME] == "c1"
    assert host_api(stack, "GET", "/api/v1/namespaces/acme").ok


def host_api(stack: Stack, method: str, path: str, body: object = None) -> requests.Response:
    pki = stack.state / "host" / "pki"
    return requests.request(
        method,
        f"{stack.host_api_url}{path}",
        json=body,
        cert=str(pki / "admin.pem"),
        verify=str(pki / "kubernetes-ca.crt"),
        timeout=10,
    )


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "deploy.stack", *arguments)
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False
    )


async def test_the_whole_life_of_a_stack(running: Stack) -> None:
    assert load() == running
    assert [found.name for found in status() if found.healthy] == SERVICES
    await remember(running)

    before = pids(running)
    began = time.monotonic()
    lines: list[str] = []
    up(lines.append, only=SERVICES)
    assert time.monotonic() - began < 4
    assert lines == []
    assert pids(running) == before

    for name in ("temporal", "openbao"):
        os.kill(before[name], signal.SIGKILL)
    up(print, only=SERVICES)
    await assert_remembered(running)

    supervisor = supervisord.pid(running)
    assert supervisor
    os.kill(supervisor, signal.SIGKILL)
    up(lines.append, only=SERVICES)
    assert lines[0].startswith("ended ")
    assert sorted(line.split()[0] for line in lines[1:]) == sorted(SERVICES)
    assert not set(before.values()) & set(pids(running).values())
    await assert_remembered(running)


async def test_all_processes_killed_at_once(running: Stack) -> None:
    # As a power cut does; then the machines come back by themselves, with all services still down.
    for process in supervisord.marked(running):
        process.kill()
    start_supervisor(print)
    assert until(lambda: list(pids(running)) == ["c1.m1-etcd"], 10)
    assert not any(found.healthy for found in status())
    up(print, only=SERVICES)
    await assert_remembered(running)


async def test_down_and_up_again_from_the_command_line(running: Stack) -> None:
    assert run_command("down").stdout.startswith("stopped in ")
    assert supervisord.marked(running) == []
    assert {found.state for found in status()} == {State.STOPPED}
    assert run_command("down").stdout == "nothing runs\n"

    # Captured through pipes, so this returns only if nothing that was started holds on to them.
    done = run_command("up", "--without-worker")
    assert done.returncode == 0, done.stderr
    assert running.temporal_ui_url in done.stdout
    assert "c1.m1-etcd" in pids(running)
    await assert_remembered(running)

    done = run_command("status")
    assert done.returncode == 1
    assert "worker         is not running" in done.stdout
    assert done.stdout.count(" works ") == len(SERVICES)


def test_two_ups_at_once_take_turns(running: Stack) -> None:
    os.kill(pids(running)["host-etcd"], signal.SIGKILL)
    with ThreadPoolExecutor() as pool:
        ups = [pool.submit(up, print, only=SERVICES) for _ in range(2)]
    assert [each.result() for each in ups] == [running, running]
    assert set(pids(running)) == {*SERVICES, "c1.m1-etcd"}


def test_a_service_with_a_changed_command_is_restarted(running: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    before = pids(running)
    with monkeypatch.context() as changed:
        changed.setattr(services, "SEARCH_ATTRIBUTES", (CLUSTER_NAME,))
        up(print, only=SERVICES)
    after = pids(running)
    assert {name for name in before if before[name] != after[name]} == {"temporal"}
    up(print, only=SERVICES)


def test_services_listen_on_loopback_only(running: Stack) -> None:
    for process in supervisord.marked(running):
        addresses = {
            each.laddr.ip for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN
        }
        assert addresses <= {"127.0.0.1"}


def test_the_host_api_refuses_strangers(running: Stack) -> None:
    authority = str(running.state / "host" / "pki" / "kubernetes-ca.crt")
    assert requests.get(f"{running.host_api_url}/api", verify=authority, timeout=10).status_code == 401


def test_a_port_that_somebody_took_is_named(stack: Stack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", stack.ports.temporal_ui))
        taken.listen()
        with pytest.raises(StackError, match=f"Port {stack.ports.temporal_ui} .* \\(process {os.getpid()}\\)"):
            up(print, only=["temporal"])
    up(print, only=["temporal"])


def test_a_service_that_does_not_start_shows_its_log(stack: Stack) -> None:
    (stack.state / "temporal" / "temporal.db").mkdir()
    with pytest.raises(StackError) as caught:
        up(print, only=["temporal"])
    assert "temporal ends as soon as it is started" in caught.value.message
    assert "unable to open database file" in caught.value.message


def test_reset_deletes_everything_that_is_left(stack: Stack) -> None:
    up(print, only=["temporal"])
    reset(print)
    assert not stack.state.exists()
    assert supervisord.marked(stack) == []


def test_an_up_that_waits_for_a_reset_starts_afresh(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    up(print, only=["temporal"])
    waits, delete = threading.Event(), lifecycle._delete

    def say(line: str) -> None:
        if line.startswith("waiting for another"):
            waits.set()

    def delete_while_another_waits(path: Path) -> None:
        assert waits.wait(30)
        delete(path)

    monkeypatch.setattr(lifecycle, "_delete", delete_while_another_waits)
    with ThreadPoolExecutor() as pool:
        resetting = pool.submit(reset, print)
        assert until(lambda: not supervisord.marked(stack), 30)
        coming = pool.submit(up, say, only=["temporal"])
        resetting.result()
        new = coming.result()
    assert [found.name for found in status() if found.healthy] == ["temporal"]
    assert new == load()


def test_the_command_before_the_first_up(state: Path) -> None:
    done = run_command("status")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: There is no local stack in {state}")
    assert "Traceback" not in done.stderr
    done = run_command("down")
    assert (done.returncode, done.stdout) == (0, "nothing runs\n")
    done = run_command("reset", "--yes")
    assert (done.returncode, done.stdout) == (0, "nothing to reset\n")


def test_a_reset_deletes_nothing_that_is_no_stack(state: Path) -> None:
    state.mkdir()
    (state / "thesis.txt").touch()
    done = run_command("reset", "--yes")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: There is no local stack in {state}")
    assert (state / "thesis.txt").exists()
