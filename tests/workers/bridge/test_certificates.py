"""Certificates of clients: renewed by age, by the same workflow as before, when there is a reason for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from contracts import activities as names
from contracts.issuing import HeldCertificate, KeyAnswer, KeyRequest, StoreAnswer, StoreRequest, issue_id
from contracts.reporting import ResourceReference
from contracts.workflows import CertificatesAnswer
from planning.issuing import due, wanted
from tests.activities.vault.support import new_cluster
from tests.workflows.test_issue import Issuer, served_issuer
from workers.bridge import certificates
from workers.bridge.certificate_resources import FINALIZER
from workers.bridge.certificate_workflows import CertificateWorkflows
from workers.bridge.certificates import LOOK_S, Certificates
from workers.bridge.kit.kube import Json, Kube
from workers.bridge.kit.reflector import Key

DAY = timedelta(days=1)
SPEC = {"clusterName": "demo", "component": "prometheus", "commonName": "prometheus", "ttlHours": 24}


class Host(Issuer):
    """The host cluster with one resource and its Secret; certificates end so long after they are issued."""

    def __init__(self, name: str, lives: list[timedelta], **spec: Any) -> None:
        super().__init__()
        self.key: Key = ("default", name)
        metadata = {"namespace": "default", "name": name, "uid": "u-1234567", "generation": 1}
        self.resource: Json = {"metadata": {**metadata, "finalizers": [FINALIZER]}, "spec": {**SPEC, **spec}}
        self.lives = lives
        self.secret: HeldCertificate | None = None
        self.reasons: list[str] = []

    @property
    def reference(self) -> ResourceReference:
        return ResourceReference(namespace="default", name=self.key[1], uid="u-1234567")

    @activity.defn(name=names.PREPARE_KEY)
    def prepare(self, asked: KeyRequest) -> KeyAnswer:
        reason = due(asked.spec, self.secret, asked.authority, datetime.now(UTC))
        return KeyAnswer(held=self.secret, reason=reason, request="request")

    @activity.defn(name=names.STORE_CERTIFICATE)
    def store(self, asked: StoreRequest) -> StoreAnswer:
        self.reasons.append(asked.reason)
        self.secret = HeldCertificate(
            serial=f"{len(self.reasons):02}",
            not_before=datetime.now(UTC),
            not_after=datetime.now(UTC) + self.lives.pop(0),
            authority=asked.authority,
            wanted=wanted(asked.spec),
            reason=asked.reason,
        )
        return StoreAnswer(held=self.secret)

    async def send(self, method: str, path: str, body: Json | None = None, _: str = "") -> Json:
        """Take a status, which is all that is to be written."""
        assert (method, path.partition("?")[0].endswith(f"/{self.key[1]}/status")) == ("PATCH", True)
        assert body is not None
        self.resource["status"] = body["status"]
        return self.resource


class Workflows(CertificateWorkflows):
    """Those of a real server, of a cluster that is there."""

    async def known(self, _: str, name: str) -> CertificatesAnswer:
        return CertificatesAnswer(context=new_cluster(name=name), issued={})


class Bridge:
    """Serves one resource's workflows, and reconciles it; a new one has seen nothing yet."""

    def __init__(self, client: Client, host: Host) -> None:
        self._client = client
        self._host = host
        self.restart()

    def restart(self) -> None:
        self._certificates = Certificates(cast(Kube, self._host), Workflows(self._client))

    async def look(self) -> float:
        """Return when it asks to look again."""
        wait = await self._certificates.reconcile(self._host.key, self._host.resource)
        assert wait is not None
        return wait

    async def runs(self) -> int:
        """Return how often its workflow was started."""
        started = f'WorkflowId = "{issue_id(self._host.reference, 1)}"'
        return len({run.run_id async for run in self._client.list_workflows(started)})


@pytest.fixture
async def serve(temporal: WorkflowEnvironment) -> AsyncIterator[Any]:
    """Serves what a resource needs."""
    async with AsyncExitStack() as stack:

        async def run(host: Host) -> Bridge:
            return Bridge(await stack.enter_async_context(served_issuer(temporal, host)), host)

        yield run


async def test_one_is_looked_at_and_issued_anew_when_its_time_has_come(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "SOONEST_S", 0.01)
    host = Host("aged", [DAY / 2 + timedelta(seconds=2), DAY])
    bridge = await serve(host)
    wait = await bridge.look()
    assert 1 < wait < 4  # half of its life has passed in two seconds, and a second for clocks that differ
    first = host.resource["status"]
    assert first["serialNumber"] == "01"
    assert datetime.fromisoformat(first["renewalTime"]) - datetime.now(UTC) < timedelta(seconds=2)
    assert await bridge.look() <= wait  # our own write, come back by the watch
    assert host.reasons == ["there is none that fits its key"]

    await asyncio.sleep(wait)
    assert await bridge.look() == LOOK_S
    assert host.reasons[1:] == ["its time has come"]
    second = host.resource["status"]
    assert (second["serialNumber"], second["reason"]) == ("02", "its time has come")
    assert datetime.fromisoformat(second["renewalTime"]) > datetime.now(UTC) + DAY / 3
    assert await bridge.runs() == 2


async def test_another_bridge_looks_at_once_at_what_fell_due_meanwhile(serve: Any) -> None:
    host = Host("restarted", [DAY / 2 - timedelta(hours=1), DAY])
    bridge = await serve(host)
    await bridge.look()
    bridge.restart()
    assert await bridge.look() == LOOK_S
    assert host.reasons[1:] == ["its time has come"]


async def test_one_that_is_not_to_be_renewed_is_left_to_end(serve: Any) -> None:
    host = Host("ending", [DAY / 2 - timedelta(hours=1)], disableRenewal=True)
    bridge = await serve(host)
    assert await bridge.look() == LOOK_S
    bridge.restart()
    assert await bridge.look() == LOOK_S
    assert "renewalTime" not in host.resource["status"]
    assert len(host.reasons) == 1
