"""One stack and one cluster for all tests here: machines take long when their processors are emulated."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from temporalio.client import Client

from api.status import Phase
from deploy.stack import Stack
from tests.e2e.people import G8S, run
from tests.libvirt.guests import Guest, enrol, hypervisor_folder, hypervisor_worker
from tests.libvirt.machines import SPEC
from tests.support.clusters import delete, start, until_created
from tests.support.stack import running_stack
from workers.client import connect


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with running_stack() as running:
        yield running


@pytest.fixture(scope="session")
async def client(stack: Stack) -> Client:
    assert os.environ["TEMPORAL_ADDRESS"] == stack.temporal_address
    return await connect()


@pytest.fixture(scope="session")
async def guest(stack: Stack, client: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guest]:
    """A control plane machine and a node. At the end they are deleted, and nothing may be left."""
    from activities.libvirt.hypervisor import Hypervisor  # noqa: PLC0415 - the package libvirt is an extra
    from activities.libvirt.places import Places  # noqa: PLC0415
    from tests.libvirt.rooms import URI  # noqa: PLC0415

    places = Places(hypervisor_folder(stack))
    with hypervisor_worker(stack):
        await enrol(client)
        began = time.monotonic()
        handle = await start(client, "virtual", **SPEC)
        found = await until_created(client, handle)
        assert found.phase == Phase.RUNNING, found.waiting_on
        print(f"created in {time.monotonic() - began:.1f} s")  # noqa: T201
        kubeconfig = tmp_path_factory.mktemp("kube") / "config"
        group = ("--group", "giantnetes:cluster-admins", "--break-glass")
        await asyncio.to_thread(run, G8S, "kubeconfig", "virtual", *group, "--output", kubeconfig)
        hypervisor = Hypervisor(URI, places.volumes)
        yield Guest(handle, found.cluster_id or "", kubeconfig, hypervisor, places)
        await delete(handle)
        assert hypervisor.domains() == []
        assert hypervisor.networks() == []
        assert hypervisor.volume_names() == []
        assert list(places.machines.iterdir()) == []
        await asyncio.to_thread(run, G8S, "leftovers")
