"""Bad days of a rotation on real components: each ends with new certificates, and without anybody's hand."""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from temporalio.client import WorkflowUpdateFailedError

from activities.kubernetes.identity import server_tls
from activities.kubernetes.serving import shown_certificate
from api.conditions import ConditionType, Reason
from api.errors import ErrorCode
from api.status import Phase
from contracts import activities as names
from contracts.reporting import ResourceReference, StatusReport
from contracts.workflows import Accepted, CertificatesAnswer
from deploy.stack import Stack
from planning.conditions import conditions
from tests.chaos import living, outside
from tests.chaos.lanes import Lane, lane
from tests.chaos.rotating import ROTATION, Rotated, new, rotated_cluster
from tests.support.clusters import start, status, until_created
from tests.support.leaks import LeakSearch
from tests.support.resources import cluster

SLOT, NODES = "control-plane-1", ["workers-1", "workers-2"]
MACHINES = {SLOT, *NODES}
EXTRA_NAME = "api.example.com"
DISK_KIB, PAGE_KIB = 512, 4

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
async def one(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lane]:
    """A worker whose activities can be held."""
    async with lane(stack, "bad-days", tmp_path_factory.mktemp("lane")) as made:
        yield made


@pytest.fixture(scope="module")
async def rotated(one: Lane, stack: Stack, leak_search: LeakSearch) -> AsyncIterator[Rotated]:
    """A cluster of one control plane machine and two nodes."""
    async with rotated_cluster(one, stack, "bad-days", nodes=2) as made:
        await asyncio.to_thread(leak_search.collect, made.cluster_id)
        yield made


@pytest.fixture(scope="module")
def kubeconfig(rotated: Rotated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of an administrator."""
    return living.kubeconfig(rotated.stack, "bad-days", "bad-days", tmp_path_factory.mktemp("kube") / "config")


def nodes_are_ready(kubeconfig: Path) -> None:
    """Wait until both nodes are Ready."""
    living.kubectl(kubeconfig, "wait", "--for=condition=Ready", "nodes", *NODES, "--timeout=55s")


async def refused_with(rotated: Rotated) -> str:
    """Ask for a rotation that is refused; returns the code."""
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await rotated.rotate()
    return str(getattr(caught.value.cause, "type", ""))


async def test_openbao_sealed_midway_is_waited_for(rotated: Rotated, root: Any) -> None:
    before, running = rotated.pairs(), rotated.processes()
    # One in a process that stays sealed: the one that was initialised unseals itself again for a while.
    await asyncio.to_thread(outside.restart_openbao, rotated.stack)
    async with rotated.watching_pairs():
        since = datetime.now(UTC)
        async with rotated.lane.holding(names.SIGN_CERTIFICATES, rotated.rotate()):
            await asyncio.to_thread(root.sys.seal)
        try:
            await rotated.until(
                lambda found: (
                    ErrorCode.VAULT_SEALED
                    in [step.last_error.code for step in found.operation.steps if step.last_error]
                    if found.operation
                    else False
                )
            )
            assert new(before, rotated.pairs()) == set()
        finally:
            await asyncio.to_thread(outside.restart_openbao, rotated.stack)
        await rotated.renewed(since)
    assert new(before, rotated.pairs()) == MACHINES
    assert rotated.processes() == running
    ended = [record for record in (await status(rotated.handle)).recent_operations if record.started_at > since]
    assert [record.type for record in ended] == [ROTATION]


async def test_asked_for_while_a_machine_is_replaced_it_comes_after_that(rotated: Rotated) -> None:
    before, asked = rotated.pairs(), {"machine": "workers-1", "reason": "test"}
    replace = rotated.handle.execute_update("replace_machine", asked, result_type=Accepted)
    async with rotated.lane.holding(f"{names.BOOT_MACHINE}/workers-1", replace):
        since = await rotated.rotate()
        assert (await status(rotated.handle)).phase == Phase.REPAIRING
    await rotated.renewed(since)
    assert (await status(rotated.handle)).recent_operations[-2].type == "ReplaceMachine"
    assert new(before, rotated.pairs()) == MACHINES


async def test_a_replacement_that_is_asked_for_meanwhile_comes_after_it(
    rotated: Rotated, kubeconfig: Path
) -> None:
    before, running = rotated.pairs(), rotated.processes()
    since = datetime.now(UTC)
    async with rotated.lane.holding(f"{names.INSTALL_MACHINE}/workers-1", rotated.rotate()):
        asked = {"machine": "workers-1", "reason": "test"}
        await rotated.handle.execute_update("replace_machine", asked, result_type=Accepted)
    await rotated.renewed(since)
    renewed = rotated.pairs()
    assert (await rotated.ended("ReplaceMachine", since)).outcome == "Succeeded"
    assert new(before, renewed) == MACHINES
    assert new(renewed, rotated.pairs()) == {"workers-1"}
    assert {name for name, found in rotated.processes().items() if found != running[name]} == {
        "workers-1/hollow-node"
    }
    await asyncio.to_thread(nodes_are_ready, kubeconfig)


async def test_it_is_refused_during_a_create_and_ended_by_a_delete(
    one: Lane, stack: Stack, leak_search: LeakSearch
) -> None:
    pools = [{"name": "workers", "replicas": 1}]
    handle = await start(one.client, "hurried", provider="local", nodePools=pools)
    hurried = Rotated(one, handle, stack, "")
    await hurried.until(lambda found: found.phase == Phase.CREATING)
    assert await refused_with(hurried) == ErrorCode.API_NOT_READY
    cluster_id = (await until_created(one.client, handle)).cluster_id or ""
    await asyncio.to_thread(leak_search.collect, cluster_id)
    async with one.holding(names.INSTALL_MACHINE, hurried.rotate()):
        await handle.execute_update("delete", {"reason": "test"}, result_type=Accepted)
        assert await refused_with(hurried) == ErrorCode.API_NOT_READY
    assert "nothing is left" in await handle.result()
    assert living.traces(stack, cluster_id) == []


async def test_names_that_are_added_meanwhile_are_in_the_next_certificates(rotated: Rotated) -> None:
    special = [{"name": "kube-apiserver", "dnsNames": [EXTRA_NAME]}]
    spec = cluster("bad-days", provider="local", certificates={"components": special}).spec
    document = {"spec": spec.model_dump(by_alias=True, exclude_unset=True)}
    since = datetime.now(UTC)
    async with rotated.lane.holding(f"{names.VERIFY_SERVING}/{SLOT}", rotated.rotate()):
        accepted = await rotated.handle.execute_update("apply", document, result_type=Accepted)
        changed = datetime.now(UTC)
    assert accepted.message == "certificates will be as they are specified now"
    await rotated.renewed(since)
    await rotated.renewed(changed)
    endpoint = urlsplit((await status(rotated.handle)).endpoint or "")
    assert EXTRA_NAME in await asyncio.to_thread(shown_names, rotated, str(endpoint.hostname))


def shown_names(rotated: Rotated, host: str) -> list[str]:
    """Return the names in the certificate that the API server shows."""
    authority = rotated.machines / SLOT / "state" / "pki" / "current" / "kubernetes-ca.crt"
    shown = shown_certificate(host, 6443, server_tls(authority.read_text()))
    assert shown is not None
    found = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return found.get_values_for_type(x509.DNSName)


async def certificates_valid(rotated: Rotated) -> tuple[str, str, str]:
    """Return status, reason and message of the condition that a resource of the cluster has now."""
    answer: CertificatesAnswer = await rotated.handle.query("certificates", result_type=CertificatesAnswer)
    ends = [issued.expires_at for has in answer.issued.values() for issued in has.values()]
    report = StatusReport(
        resource=ResourceReference(namespace="default", name="bad-days", uid="u"),
        sequence=1,
        reported_at=datetime.now(UTC),
        spec=answer.context.spec,
        status=await status(rotated.handle),
        certificate_expires_at=min(ends),
    )
    told = {found.type: found for found in conditions(report, [], lived=True)}[ConditionType.CERTIFICATES_VALID]
    return told.status, told.reason, told.message


async def test_a_machine_that_is_gone_midway_is_told_of_and_renewed_when_it_is_back(
    rotated: Rotated, kubeconfig: Path
) -> None:
    before, since = rotated.pairs(), datetime.now(UTC)
    async with rotated.lane.holding(f"{names.INSTALL_MACHINE}/workers-2", rotated.rotate()):
        await asyncio.to_thread(rotated.switch_off, "workers-2")
    assert (await rotated.ended(ROTATION, since)).outcome == "Succeeded"
    assert new(before, rotated.pairs()) == MACHINES - {"workers-2"}
    first = min(found.not_valid_after_utc for name, found in before.items() if name.startswith("workers-2/"))
    told, reason, message = await certificates_valid(rotated)
    assert (told, reason) == ("False", Reason.NOT_RENEWED)
    assert message.startswith(f"the first ends at {first:%Y-%m-%dT%H:%M:%SZ}; workers-2 was not renewed")
    await rotated.repaired("workers-2")
    await rotated.renewed(await rotated.rotate())
    assert new(before, rotated.pairs()) == MACHINES
    assert (await certificates_valid(rotated))[:2] == ("True", Reason.VALID)
    await asyncio.to_thread(nodes_are_ready, kubeconfig)


async def test_a_machine_whose_state_is_lost_holds_nobody_back_and_gets_new_keys(
    rotated: Rotated, kubeconfig: Path
) -> None:
    """That of the control plane, which holds the cluster's own keys as well."""
    before = rotated.pairs()
    shutil.rmtree(rotated.machines / SLOT / "state")
    since = await rotated.rotate()
    assert (await rotated.ended(ROTATION, since)).outcome == "Succeeded"
    unrenewed = (await status(rotated.handle)).unrenewed
    assert list(unrenewed) == [SLOT]
    assert new(before, rotated.pairs()) == set(NODES)
    await asyncio.to_thread(rotated.switch_off, SLOT)
    await rotated.repaired(SLOT)
    assert new(before, rotated.pairs()) == MACHINES
    await rotated.renewed(await rotated.rotate())
    await asyncio.to_thread(nodes_are_ready, kubeconfig)


def can_mount() -> bool:
    """Say whether this process may mount a disk that everybody sees."""
    tried = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False)
    return tried.returncode == 0


@pytest.fixture(scope="module")
async def small_disk(rotated: Rotated) -> AsyncIterator[Path]:
    """The state of a node on a small disk, for the last tests of this module: then the machine stays off."""
    state = rotated.machines / "workers-1" / "state"
    aside = state.with_name("state.aside")
    await asyncio.to_thread(rotated.switch_off, "workers-1")
    state.rename(aside)
    state.mkdir(mode=0o700)
    options = ("-o", f"size={DISK_KIB}k,mode=700")
    await asyncio.to_thread(subprocess.run, ["mount", "-t", "tmpfs", *options, "tmpfs", str(state)], check=True)
    try:
        shutil.copytree(aside, state, symlinks=True, dirs_exist_ok=True)
        await rotated.repaired("workers-1")
        yield state
    finally:
        await asyncio.to_thread(rotated.switch_off, "workers-1")
        await asyncio.to_thread(subprocess.run, ["umount", "--lazy", str(state)], check=True)
        state.rmdir()
        aside.rename(state)


@contextlib.contextmanager
def filled(disk: Path, left_kib: int) -> Iterator[None]:
    """Leave so much room on a disk."""
    fill = disk / "fill"
    try:
        with fill.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(PAGE_KIB * 1024)):
                pass
        with fill.open("r+b") as file:
            file.truncate(fill.stat().st_size - left_kib * 1024)
        yield
    finally:
        fill.unlink()


@pytest.mark.skipif(not can_mount(), reason="only root may mount a disk where other processes see it")
@pytest.mark.parametrize("pages", [0, 4], ids=["nothing-fits", "half-of-it-fits"])
async def test_a_full_disk_keeps_the_old_certificates(
    rotated: Rotated, kubeconfig: Path, small_disk: Path, pages: int
) -> None:
    before, running = rotated.pairs(), rotated.processes()
    with filled(small_disk, pages * PAGE_KIB):
        since = await rotated.rotate()
        assert (await rotated.ended(ROTATION, since)).outcome == "Succeeded"
    told = (await status(rotated.handle)).unrenewed
    assert list(told) == ["workers-1"]
    assert told["workers-1"].startswith(ErrorCode.DISK_FULL)
    assert str(small_disk) in told["workers-1"]
    assert new(before, rotated.pairs()) == MACHINES - {"workers-1"}
    await rotated.renewed(await rotated.rotate())
    assert new(before, rotated.pairs()) == MACHINES
    assert rotated.processes() == running
    await asyncio.to_thread(nodes_are_ready, kubeconfig)
