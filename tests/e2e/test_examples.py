"""The Cluster files of deploy/examples against the real thing, as written: made, looked at, deleted, cancelled."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from api.status import ClusterStatus, Phase
from deploy.binaries import ensure, release_parts
from deploy.stack import Stack
from planning.releases import load_releases
from tests.chaos import living
from tests.e2e import people
from tests.e2e.people import example, kubectl, ready_nodes, start_example, temporal, update_example
from tests.support.clusters import Handle, status, until_created
from tests.support.leaks import LeakSearch
from tests.support.stack import say

EXAMPLES = ("three-control-planes", "platform")
"""Those but demo.json, which test_local_cluster.py uses."""

pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True)
class Made:
    """The cluster of an example, with a kubeconfig that g8s made."""

    example: str
    workflow: str
    status: ClusterStatus
    kubeconfig: Path

    @property
    def cluster_id(self) -> str:
        """What everything of it is named after."""
        return self.status.cluster_id or ""

    @property
    def spec(self) -> dict[str, Any]:
        """What the example wants."""
        return dict(example(self.example)["spec"])


@pytest.fixture(scope="module", params=EXAMPLES)
async def made(
    request: pytest.FixtureRequest,
    stack: Stack,
    client: Client,
    leak_search: LeakSearch,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Made]:
    """A cluster from an example."""
    name = str(request.param)
    ensure(release_parts(load_releases()[example(name)["spec"]["release"]]), say)
    workflow = start_example(stack, name)
    handle: Handle = client.get_workflow_handle(workflow, result_type=str)
    found = await until_created(client, handle)
    assert found.phase == Phase.RUNNING, found.waiting_on
    config = tmp_path_factory.mktemp("kube") / "config"
    await asyncio.to_thread(people.administrator, found.name, config)
    leak_search.collect(found.cluster_id or "", config)
    yield Made(name, workflow, found, config)
    await leak_search.check(client)


def test_the_version_is_the_release_s(made: Made) -> None:
    wanted = f"v{load_releases()[made.spec['release']].kubernetes.version}"
    told = json.loads(kubectl(made.kubeconfig, "version", "--output", "json", release=made.spec["release"]))
    assert (told["serverVersion"]["gitVersion"], told["clientVersion"]["gitVersion"]) == (wanted, wanted)
    kubelets = {node["status"]["nodeInfo"]["kubeletVersion"] for node in ready_nodes(made.kubeconfig).values()}
    assert kubelets == {wanted}


def test_the_nodes_are_those_of_the_pools(made: Made) -> None:
    wanted = {
        f"{pool['name']}-{number}": (pool.get("labels", {}), pool.get("taints", []))
        for pool in made.spec["nodePools"]
        for number in range(1, 1 + pool["replicas"])
    }
    nodes = ready_nodes(made.kubeconfig)
    assert nodes.keys() == wanted.keys()
    for name, (labels, taints) in wanted.items():
        assert labels.items() <= nodes[name]["metadata"]["labels"].items()
        assert nodes[name]["spec"].get("taints", []) == taints


def test_each_control_plane_machine_runs_everything_once(made: Made, stack: Stack) -> None:
    slots = made.spec.get("controlPlane", {}).get("replicas", 1)
    found = living.processes(stack, made.cluster_id)
    programs = Counter(name.partition("/")[2] for name, running in found.items() for _ in running)
    nodes = sum(pool["replicas"] for pool in made.spec["nodePools"])
    control_plane = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    balancer = {"traefik": 1} if slots > 1 else {}
    assert programs == Counter({**dict.fromkeys(control_plane, slots), "hollow-node": nodes, **balancer})


def test_the_endpoint_is_where_the_example_wants_it(made: Made) -> None:
    port = made.spec.get("network", {}).get("apiPort", 6443)
    assert (made.status.endpoint or "").endswith(f":{port}")
    assert kubectl(made.kubeconfig, "get", "--raw", "/readyz/etcd") == "ok"


def test_the_ingress_is_there_if_wanted(made: Made) -> None:
    names = kubectl(made.kubeconfig, "get", "deployments", "--all-namespaces", "--output", "name").split()
    assert ("deployment.apps/traefik" in names) is ("ingress" in made.spec)


def test_what_people_keep_in_a_secret_is_in_no_log(made: Made, stack: Stack) -> None:
    canary = f"canary-of-{made.cluster_id}-0123456789"
    kubectl(made.kubeconfig, "create", "secret", "generic", "canary", f"--from-literal=key={canary}")
    kubectl(made.kubeconfig, "get", "secret", "canary", "--output", "yaml")
    logs = b"".join(
        path.read_bytes() for path in (stack.state / "machines" / made.cluster_id).glob("control-plane-*/log/*")
    )
    assert b"secrets/canary" in logs
    assert canary.encode() not in logs


async def test_deletes_and_leaves_nothing(made: Made, stack: Stack, client: Client) -> None:
    handle: Handle = client.get_workflow_handle(made.workflow, result_type=str)
    assert "will be deleted" in update_example(stack, made.workflow, "delete")
    assert "nothing is left" in await handle.result()
    assert living.traces(stack, made.cluster_id) == []
    people.run(people.G8S, "leftovers")


async def test_a_create_is_cancelled_in_the_middle(stack: Stack, client: Client) -> None:
    workflow = start_example(stack, "three-control-planes")
    handle: Handle = client.get_workflow_handle(workflow, result_type=str)
    while not (cluster_id := (await status(handle)).cluster_id):
        await asyncio.sleep(0.05)
    while not living.processes(stack, cluster_id):
        await asyncio.sleep(0.05)
    assert (await status(handle)).phase == Phase.CREATING
    assert "undone" in update_example(stack, workflow, "cancel")
    assert "undone" in temporal(stack, "workflow", "result", "--workflow-id", workflow)
    assert living.traces(stack, cluster_id) == []
    people.run(people.G8S, "leftovers")
