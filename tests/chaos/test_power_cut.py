"""Power cut: guest clusters come back by themselves, with Temporal and OpenBao still down."""

import asyncio
import time
from pathlib import Path

import psutil
import pytest
import requests
from temporalio.client import Client

from api.status import Phase
from deploy.stack import Stack, start_supervisor, supervisord, up
from deploy.stack import status as stack_status
from tests.chaos import living
from tests.chaos.conftest import SERVICES
from tests.support.clusters import delete, start, status, until_created
from tests.support.leaks import LeakSearch
from tests.support.stack import say

SECONDS = 60.0

pytestmark = pytest.mark.timeout(240)


def cut(stack: Stack) -> None:
    """Kill every process of the stack at once, supervisord and guest machines among them, and see them gone."""
    victims = supervisord.marked(stack)
    assert {"etcd", "kube-apiserver", "temporal", "bao"} <= {process.name() for process in victims}
    for process in victims:
        process.kill()
    _, alive = psutil.wait_procs(victims, timeout=SECONDS)
    assert alive == []


def until_ready(url: str, authority: Path) -> None:
    """Wait until the API at ``url`` says that it is ready; it tells that to anybody."""
    deadline = time.monotonic() + SECONDS
    while (answer := readyz(url, authority)) != "ok":
        assert time.monotonic() < deadline, f"{url} is not ready after {SECONDS} s: {answer}"
        time.sleep(0.1)


def readyz(url: str, authority: Path) -> str:
    """Return what the API says of itself, or why it says nothing."""
    try:
        return requests.get(f"{url}/readyz", verify=str(authority), timeout=5).text
    except requests.RequestException as error:
        return str(error)


async def test_guests_answer_before_temporal_and_openbao_are_back(
    stack: Stack, client: Client, leak_search: LeakSearch, tmp_path: Path
) -> None:
    handle = await start(client, "powerless", provider="local", nodePools=[{"name": "workers", "replicas": 1}])
    created = await until_created(client, handle)
    assert created.phase == Phase.RUNNING, created.waiting_on
    cluster_id = created.cluster_id or ""
    config = living.kubeconfig(stack, "default", "powerless", tmp_path / "config")
    leak_search.collect(cluster_id, config)
    living.kubectl(config, "create", "configmap", "kept", "--from-literal=day=before")
    machine = stack.state / "machines" / cluster_id / "control-plane-1"

    cut(stack)
    await asyncio.to_thread(start_supervisor, say)
    await asyncio.to_thread(until_ready, created.endpoint or "", machine / "state/pki/current/kubernetes-ca.crt")
    assert "before" in living.kubectl(config, "get", "configmap", "kept", "--output", "yaml")
    services = {found.name: found.pid for found in stack_status()}
    assert {services[name] for name in SERVICES} == {None}

    await asyncio.to_thread(up, say, SERVICES)
    found = await status(handle)
    assert (found.phase, found.cluster_id) == (Phase.RUNNING, cluster_id)
    living.kubectl(config, "wait", "--for=condition=Ready", "node/workers-1", "--timeout=60s")
    living.see(stack, "default", "powerless", cluster_id, tmp_path).check()
    assert "nothing is left" in await delete(handle)
    assert living.traces(stack, cluster_id) == []
