"""What people are told when something is taken, full, missing, sealed, down or broken, and what happens then."""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from activities.simulated.faults import Faults
from api.errors import ERRORS, ErrorCode
from api.status import ErrorStatus, Phase, StepState, StepStatus
from contracts.workflows import Accepted
from deploy.paths import cache_dir
from deploy.stack import Stack
from nodes.machine.store import private_folder
from planning.claims import candidates
from tests.chaos import living, outside
from tests.chaos.cli import TemporalCli
from tests.chaos.known import start_known
from tests.chaos.lanes import lane
from tests.support.clusters import Handle, delete, start, status, until_created
from tests.support.leaks import LeakSearch

SECONDS = 60.0
LOCAL: dict[str, Any] = {"provider": "local", "nodePools": [{"name": "workers", "replicas": 1}]}
ALONE = ("unshare", "--map-root-user", "--mount", "--")
"""In front of a command: it may mount things, which nobody else sees."""

VAULT_STEPS = {"claim", "authorities", "secrets"}

pytestmark = pytest.mark.timeout(180)


async def steps(handle: Handle) -> list[StepStatus]:
    """Return the steps of the operation under way."""
    operation = (await status(handle)).operation
    return operation.steps if operation else []


async def until_told(handle: Handle, cli: TemporalCli, *codes: ErrorCode, seconds: float = SECONDS) -> ErrorStatus:
    """Wait until a step shows one of the errors; see that it is told in words, here and in the checklist."""
    async with asyncio.timeout(seconds):
        while True:
            errors = [step.last_error for step in await steps(handle) if step.last_error]
            told = next((error for error in errors if error.code in codes), None)
            if told:
                break
            await asyncio.sleep(0.1)
    assert told.retryable
    assert told.hint == ERRORS[ErrorCode(told.code)].hint
    details = cli.tell("workflow", "metadata", "--workflow-id", handle.id)
    assert told.code in details
    for answer in (told.message, details):
        assert "Traceback" not in answer
    return told


async def goes_on(client: Client, handle: Handle, leak_search: LeakSearch) -> None:
    """See that a create ends well without anybody asking for it."""
    async with asyncio.timeout(SECONDS):
        created = await until_created(client, handle)
    assert created.phase == Phase.RUNNING, created.waiting_on
    assert created.operation
    assert [step.last_error for step in created.operation.steps if step.last_error] == []
    leak_search.collect(created.cluster_id or "")


async def ends(handle: Handle, stack: Stack, cluster_id: str) -> None:
    """Delete a local cluster and see that nothing is left of it."""
    assert "nothing is left" in await delete(handle)
    assert living.traces(stack, cluster_id) == []


@pytest.fixture(scope="module")
def cli(stack: Stack) -> TemporalCli:
    """The temporal program, aimed at the stack's default namespace."""
    return TemporalCli(stack)


async def test_address_taken(stack: Stack, client: Client, cli: TemporalCli, leak_search: LeakSearch) -> None:
    handle, cluster_id = await start_known(client, "taken", **LOCAL)
    address = str(ip_network(next(candidates(cluster_id, "local")))[11])
    with socket.create_server((address, 6443)):
        told = await until_told(handle, cli, ErrorCode.ADDRESS_IN_USE)
        assert f"{address}:6443" in told.message
        assert f"process {os.getpid()}" in told.message
    await goes_on(client, handle, leak_search)
    await ends(handle, stack, cluster_id)


def can_mount() -> bool:
    """Say whether this user may mount a disk that only its own processes see."""
    tried = subprocess.run([*ALONE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="this kernel lets users mount nothing (user_namespaces(7))")
async def test_disk_full(stack: Stack, leak_search: LeakSearch, tmp_path: Path) -> None:
    """A worker sees a disk of 16 KiB, that is, 4 pages, where the machines of the cluster are to be.

    Space is freed by a worker that sees the real disk: it finds what there was no room for, and goes on.
    """
    async with lane(stack, "full-disk", tmp_path) as one:
        await one.stop_worker()
        handle, cluster_id = await start_known(one.client, "full", **LOCAL)
        folder = private_folder(stack.state / "machines" / cluster_id)
        mount = f"mount -t tmpfs -o size=16k,mode=700 tmpfs {folder}"
        await one.start_worker(*ALONE, "sh", "-c", f'{mount} && exec "$@"', "sh")
        told = await until_told(handle, TemporalCli(stack, "full-disk"), ErrorCode.DISK_FULL)
        assert str(folder) in told.message
        await one.stop_worker()
        await one.start_worker()
        await goes_on(one.client, handle, leak_search)
        await ends(handle, stack, cluster_id)


async def test_binaries_missing(stack: Stack, leak_search: LeakSearch, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    async with lane(stack, "empty-cache", tmp_path, GIANTNETES_CACHE=str(cache)) as one:
        handle, cluster_id = await start_known(one.client, "missing", **LOCAL)
        told = await until_told(handle, TemporalCli(stack, "empty-cache"), ErrorCode.BINARIES_MISSING)
        assert "1.37.2" in told.message
        assert "just binaries" in told.hint
        for found in cache_dir().iterdir():
            (cache / found.name).symlink_to(found)
        await goes_on(one.client, handle, leak_search)
        await ends(handle, stack, cluster_id)


@pytest.fixture
def sealable(stack: Stack) -> None:
    """OpenBao in a process that stays sealed: the one that was initialised unseals itself again for a while."""
    outside.restart_openbao(stack)


@pytest.fixture
async def booting(stack: Stack, client: Client, request: pytest.FixtureRequest) -> AsyncIterator[Handle]:
    """A create that waits for nothing but its simulated machines to boot."""
    faults = Faults(outside.simulated(stack).world.path)
    faults.boot_seconds(4)
    handle = await start(client, request.node.name.replace("_", "-"))
    async with asyncio.timeout(SECONDS):
        # Not earlier: OpenBao 2.7 can hang for good when it is sealed while it mounts something.
        while not {step.name for step in await steps(handle) if step.state is StepState.DONE} >= VAULT_STEPS:
            await asyncio.sleep(0.05)
    yield handle
    faults.boot_seconds(0)


@pytest.mark.usefixtures("sealable")
async def test_openbao_sealed(
    stack: Stack, client: Client, cli: TemporalCli, *, root: Any, booting: Handle, leak_search: LeakSearch
) -> None:
    try:
        root.sys.seal()
        told = await until_told(booting, cli, ErrorCode.VAULT_SEALED)
        assert "sealed" in told.message
    finally:
        await asyncio.to_thread(outside.restart_openbao, stack)
    await goes_on(client, booting, leak_search)
    assert "nothing is left" in await delete(booting)


async def test_openbao_down(
    stack: Stack, client: Client, cli: TemporalCli, booting: Handle, leak_search: LeakSearch
) -> None:
    outside.supervisor(stack).stop_group("openbao", kill=True)
    try:
        told = await until_told(booting, cli, ErrorCode.VAULT_UNAVAILABLE)
        assert "no connection" in told.message
        unplanned = await start(client, "unplanned")
        async with asyncio.timeout(SECONDS):
            while "VaultUnavailable" not in (found := await status(unplanned)).waiting_on:
                await asyncio.sleep(0.1)
        assert ERRORS[ErrorCode.VAULT_UNAVAILABLE].hint in found.waiting_on
    finally:
        await asyncio.to_thread(outside.restart_openbao, stack)
    for handle in (booting, unplanned):
        await goes_on(client, handle, leak_search)
        assert "nothing is left" in await delete(handle)


@pytest.mark.timeout(300)
async def test_apiserver_never_ready(stack: Stack, client: Client, cli: TemporalCli) -> None:
    """A feature gate that does not exist; the only way on is back.

    The machine tells why, unless the API server took so long to fail that only its silence was seen.
    """
    handle, cluster_id = await start_known(
        client, "gate", **LOCAL, apiServer={"featureGates": {"NoSuchGate": True}}
    )
    told = await until_told(handle, cli, ErrorCode.MACHINE_FAILED, ErrorCode.API_NOT_READY, seconds=200)
    assert "NoSuchGate" in told.message or "g8s logs NAME MACHINE kube-apiserver" in told.hint
    assert (
        "NoSuchGate"
        in (stack.state / "machines" / cluster_id / "control-plane-1/log/kube-apiserver.log").read_text()
    )
    accepted = await handle.execute_update("cancel", {"reason": "a wrong gate"}, result_type=Accepted)
    assert "undone" in accepted.message
    assert "undone" in await handle.result()
    assert living.traces(stack, cluster_id) == []
