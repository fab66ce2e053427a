"""Task queues and the Temporal workers that serve them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Interceptor, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from contracts import queues
from workflows.cluster import ClusterWorkflow
from workflows.create import CreateClusterWorkflow
from workflows.delete import DeleteClusterWorkflow
from workflows.hypervisor import HypervisorWorkflow
from workflows.messages import FittingMessages
from workflows.replace import RepairMachineWorkflow, ReplaceMachineWorkflow

WORKFLOWS: list[type] = [
    ClusterWorkflow,
    CreateClusterWorkflow,
    DeleteClusterWorkflow,
    ReplaceMachineWorkflow,
    RepairMachineWorkflow,
    HypervisorWorkflow,
]
THREADS = 32
"""Activities of one queue that run at the same time: many wait for a boot or an API, and are to stop nobody."""

GRACE = timedelta(seconds=5)
"""How long a stopping worker lets its activities end."""

PULSE = timedelta(seconds=1)
"""Heartbeats, and with them cancellations, travel at this pace."""

LASTING = 5000
"""Lasting activities of one queue that run at the same time."""

LASTING_PULSE = timedelta(seconds=30)
"""Their heartbeats: each is a write of Temporal's."""

HANDOVER = timedelta(seconds=2)
"""How long a workflow's next task is kept for the worker that has it in memory, before any other may take it.

A killed worker's workflows stand still that long. One that is only busy costs a replay.
"""

RESTRICTIONS = SandboxRestrictions.default.with_passthrough_modules("api", "contracts")
"""Each run imports workflow code anew, so that it shares no state. Models have none, and take long to build."""


@dataclass(frozen=True)
class Queue:
    """One task queue with what a worker does for it.

    ``lasting`` says that its activities are asynchronous and last for as long as clusters live.
    """

    name: str
    activities: Sequence[Callable[..., Any]] = ()
    workflows: Sequence[type] = ()
    lasting: bool = False


def workflow_queue() -> Queue:
    """Return the queue of workflows."""
    return Queue(queues.CLUSTERS, workflows=WORKFLOWS)


def make_workers(client: Client, wanted: Sequence[Queue], interceptors: Sequence[Interceptor]) -> list[Worker]:
    """Return one Temporal worker for each queue; ``run`` starts them."""
    return [_worker(client, queue, interceptors) for queue in wanted]


def _worker(client: Client, queue: Queue, interceptors: Sequence[Interceptor]) -> Worker:
    short = bool(queue.activities) and not queue.lasting
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix=queue.name) if short else None
    pulse = LASTING_PULSE if queue.lasting else PULSE
    return Worker(
        client,
        task_queue=queue.name,
        workflows=list(queue.workflows),
        activities=list(queue.activities),
        workflow_runner=SandboxedWorkflowRunner(restrictions=RESTRICTIONS),
        activity_executor=threads,
        max_concurrent_activities=LASTING if queue.lasting else THREADS if threads else None,
        interceptors=[*interceptors, FittingMessages()],
        graceful_shutdown_timeout=GRACE,
        sticky_queue_schedule_to_start_timeout=HANDOVER,
        max_heartbeat_throttle_interval=pulse,
        default_heartbeat_throttle_interval=pulse,
    )
