"""Certificates of machines as resources: written, put back, ended, and never at the expense of other clusters."""

import asyncio
import copy
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from contracts.vault import Issued
from contracts.workflows import CertificatesAnswer
from tests.activities.vault.support import new_cluster
from workers.bridge import components
from workers.bridge.certificate_workflows import CertificateWorkflows
from workers.bridge.components import Components, is_shown
from workers.bridge.kit.kube import Json, Kube
from workers.bridge.kit.messages import NotRunningError, UnansweredError
from workers.bridge.kit.reflector import Key

NOW = datetime.now(UTC)
CLUSTER: Key = ("default", "demo")
API: Key = ("default", "demo.control-plane-1.kube-apiserver")
KUBELET: Key = ("default", "demo.workers-1.kubelet")


def issued(serial: str, lives: timedelta = timedelta(days=7)) -> Issued:
    return Issued(serial=serial, issued_at=NOW, expires_at=NOW + lives, credential="", wanted="", reason="tested")


class World:
    """The host cluster's certificates, and the workflows of clusters."""

    def __init__(self) -> None:
        self.clusters: dict[Key, Json] = {CLUSTER: cluster("demo")}
        self.certificates: dict[Key, Json] = {}
        self.requests = 0
        self.errors: dict[str, Exception] = {}
        self.issued = {"control-plane-1": {"kube-apiserver": issued("01")}, "workers-1": {"kubelet": issued("02")}}

    async def known(self, _: str, name: str) -> CertificatesAnswer:
        if name in self.errors:
            raise self.errors[name]
        return CertificatesAnswer(context=new_cluster(name=name), issued=self.issued)

    async def send(self, method: str, path: str, body: Json | None = None, _: str = "") -> Json:
        self.requests += 1
        parts = path.partition("?")[0].split("/")
        key = (parts[5], parts[7])
        if method == "DELETE":
            return self.certificates.pop(key)
        assert body is not None
        before = self.certificates.get(key, {"metadata": {"generation": 1, "uid": "u-1"}})
        self.certificates[key] = {
            **before,
            **copy.deepcopy(body),
            "metadata": {**before["metadata"], **body["metadata"]},
        }
        return self.certificates[key]


def cluster(name: str) -> Json:
    return {"metadata": {"namespace": "default", "name": name, "uid": f"u-{name}"}, "status": {"phase": "Running"}}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def shower(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Components]:
    """What shows certificates, at work."""
    monkeypatch.setattr(components, "SOON_S", 0.01)
    one = Components(
        cast(Kube, world),
        cast(CertificateWorkflows, world),
        lambda: world.clusters,
        lambda: world.certificates,
    )
    running = asyncio.create_task(one.run())
    yield one
    assert not running.done()
    running.cancel()


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


async def shown(shower: Components, world: World) -> None:
    shower.note_cluster(CLUSTER, world.clusters[CLUSTER])
    await until(lambda: world.certificates.keys() == {API, KUBELET})
    await until(lambda: all("status" in each for each in world.certificates.values()))
    await asyncio.sleep(0.1)


async def test_what_machines_have_is_shown_once(shower: Components, world: World) -> None:
    await shown(shower, world)
    found = world.certificates[KUBELET]
    assert found["spec"]["commonName"] == "system:node:workers-1"
    assert found["spec"]["organizations"] == ["system:nodes"]
    assert (found["status"]["serialNumber"], found["status"]["reason"]) == ("02", "tested")
    before = world.requests
    shower.note_cluster(CLUSTER, world.clusters[CLUSTER])  # nothing has changed
    for key, resource in world.certificates.items():
        shower.note(key, resource)  # our own writes, come back by the watch
    await asyncio.sleep(0.2)
    assert world.requests == before


async def test_the_end_of_an_operation_is_waited_for(shower: Components, world: World) -> None:
    world.clusters[CLUSTER]["status"]["operation"] = {"type": "CreateCluster"}
    shower.note_cluster(CLUSTER, world.clusters[CLUSTER])
    await asyncio.sleep(0.2)
    assert world.certificates == {}
    del world.clusters[CLUSTER]["status"]["operation"]
    await shown(shower, world)


async def test_operations_of_other_clusters_go_before_but_not_for_ever(
    shower: Components, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        world.clusters["default", f"c{number}"] = cluster(f"c{number}")
        world.clusters["default", f"c{number}"]["status"]["operation"] = {"type": "CreateCluster"}
    world.clusters["default", "other"] = cluster("other")
    monkeypatch.setattr(components, "PATIENCE_S", 2)
    for name in ("demo", "other"):
        shower.note_cluster(("default", name), world.clusters["default", name])
    await asyncio.sleep(1.5)
    assert world.certificates == {}
    async with asyncio.timeout(1.5):  # they have waited once, together
        await until(lambda: len(world.certificates) == 4)


@pytest.mark.parametrize(
    "status",
    [
        {"operation": {"type": "CreateCluster", "nextRetryTime": "2026-11-26T03:00:00Z"}},
        {"operation": {"type": "CreateCluster"}, "conditions": [{"type": "Paused", "status": "True"}]},
    ],
    ids=["tries again later", "paused"],
)
async def test_an_operation_that_stands_still_holds_nobody_up(
    shower: Components, world: World, status: Json
) -> None:
    world.clusters["default", "stuck"] = {**cluster("stuck"), "status": status}
    async with asyncio.timeout(5):
        await shown(shower, world)


async def test_a_renewal_changes_the_status_alone(shower: Components, world: World) -> None:
    await shown(shower, world)
    before = world.requests
    world.issued["workers-1"] = {"kubelet": issued("03")}
    world.clusters[CLUSTER]["status"]["recentOperations"] = [{"finishedAt": "2026-11-26T03:00:00Z"}]
    shower.note_cluster(CLUSTER, world.clusters[CLUSTER])
    await until(lambda: world.certificates[KUBELET]["status"]["serialNumber"] == "03")
    await asyncio.sleep(0.1)
    assert world.requests == before + 1


async def test_what_is_changed_or_deleted_by_hand_is_put_back(shower: Components, world: World) -> None:
    await shown(shower, world)
    changed = copy.deepcopy(world.certificates[KUBELET])
    serial = changed["status"]["serialNumber"]
    changed["status"]["serialNumber"] = "0a"
    world.certificates[KUBELET] = changed
    shower.note(KUBELET, changed)
    await until(lambda: world.certificates[KUBELET]["status"]["serialNumber"] == serial)
    del world.certificates[API]
    shower.note(API, None)
    await until(lambda: API in world.certificates)


async def test_a_stranger_s_is_removed(shower: Components, world: World) -> None:
    await shown(shower, world)
    stranger = copy.deepcopy(world.certificates[KUBELET])
    stranger["metadata"]["name"] = "stranger"
    world.certificates["default", "stranger"] = stranger
    assert is_shown(("default", "stranger"), stranger)
    shower.note(("default", "stranger"), stranger)
    await until(lambda: ("default", "stranger") not in world.certificates)


async def test_those_of_a_cluster_that_is_gone_are_removed(shower: Components, world: World) -> None:
    await shown(shower, world)
    del world.clusters[CLUSTER]
    shower.note_cluster(CLUSTER, None)
    await until(lambda: not world.certificates)


async def test_one_cluster_s_trouble_is_not_the_others(shower: Components, world: World) -> None:
    world.errors["broken"] = RuntimeError("whatever a client may raise")
    world.clusters["default", "broken"] = cluster("broken")
    shower.note_cluster(("default", "broken"), cluster("broken"))
    await shown(shower, world)


@pytest.mark.parametrize("error", [UnansweredError("Temporal is away"), NotRunningError("its history is lost")])
async def test_what_ends_while_nobody_can_be_asked_is_told(
    shower: Components, world: World, error: Exception
) -> None:
    world.issued["workers-1"] = {"kubelet": issued("02", timedelta(seconds=1))}
    await shown(shower, world)
    world.errors["demo"] = error
    await until(lambda: world.certificates[KUBELET]["status"]["conditions"][0]["reason"] == "Expired")
    assert world.certificates[API]["status"]["conditions"][0]["status"] == "True"
