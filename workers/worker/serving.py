"""Task queues and the Temporal workers that serve them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Interceptor, UnsandboxedWorkflowRunner, Worker, WorkflowRunner

from contracts import queues
from workflows.cluster import ClusterWorkflow
from workflows.create import CreateClusterWorkflow
from workflows.delete import DeleteClusterWorkflow
from workflows.hypervisor import HypervisorWorkflow
from workflows.issue import IssueCertificateWorkflow, RemoveCertificateWorkflow
from workflows.messages import FittingMessages
from workflows.replace import RepairMachineWorkflow, ReplaceMachineWorkflow
from workflows.rotate import RotateCertificatesWorkflow

WORKFLOWS: list[type] = [
    ClusterWorkflow,
    CreateClusterWorkflow,
    DeleteClusterWorkflow,
    ReplaceMachineWorkflow,
    RepairMachineWorkflow,
    RotateCertificatesWorkflow,
    HypervisorWorkflow,
    IssueCertificateWorkflow,
    RemoveCertificateWorkflow,
]
WAITING = 32
"""Activities of one queue that run at the same time: many wait for a boot or an API, and are to stop nobody."""

QUICK = 4
"""The same where none waits. More would only be in each other's way; what is urgent goes first in the queue."""

TASKS = 4
"""Tasks of workflows at the same time, of which Python runs one: who waits does so in the queue, by priority."""

GRACE = timedelta(seconds=5)
"""How long a stopping worker lets its activities end."""

PULSE = timedelta(seconds=1)
"""Heartbeats, and with them cancellations, travel at this pace."""

LASTING = 5000
"""Lasting activities of one queue that run at the same time."""

LASTING_PULSE = timedelta(seconds=30)
"""Their heartbeats: each is a write of Temporal's."""

HANDOVER = timedelta(seconds=30)
"""How long a workflow's next task is kept for the worker that has it in memory, before any other may take it.

A killed worker's workflows stand still that long when something is for them within ten seconds of its end: after
those Temporal knows that it is gone. Those of one that stops in order don't, but for tasks that waited for it
already. A task that is handed over while its worker is only busy, as with 100 operations at a time, costs a replay
of the whole history: with 10 s here all others wait twice as long.
"""

DIRECT = UnsandboxedWorkflowRunner()
"""Workflow code runs as it is. The sandbox, which imports it anew for each run and watches each call, takes a
quarter of a busy worker's time. What it would find is found by the tests, which run in it.
"""


@dataclass(frozen=True)
class Queue:
    """One task queue with what a worker does for it.

    ``threads`` is how many of its activities run at the same time. ``lasting`` says that they are asynchronous and
    last for as long as clusters live.
    """

    name: str
    activities: Sequence[Callable[..., Any]] = ()
    workflows: Sequence[type] = ()
    threads: int = WAITING
    lasting: bool = False


def workflow_queue() -> Queue:
    """Return the queue of workflows."""
    return Queue(queues.CLUSTERS, workflows=WORKFLOWS)


def make_workers(
    client: Client,
    wanted: Sequence[Queue],
    interceptors: Sequence[Interceptor],
    runner: WorkflowRunner = DIRECT,
) -> list[Worker]:
    """Return one Temporal worker for each queue; ``run`` starts them."""
    return [_worker(client, queue, interceptors, runner) for queue in wanted]


def _worker(client: Client, queue: Queue, interceptors: Sequence[Interceptor], runner: WorkflowRunner) -> Worker:
    short = bool(queue.activities) and not queue.lasting
    threads = ThreadPoolExecutor(queue.threads, thread_name_prefix=queue.name) if short else None
    pulse = LASTING_PULSE if queue.lasting else PULSE
    return Worker(
        client,
        task_queue=queue.name,
        workflows=list(queue.workflows),
        activities=list(queue.activities),
        workflow_runner=runner,
        activity_executor=threads,
        max_concurrent_activities=LASTING if queue.lasting else queue.threads if threads else None,
        max_concurrent_workflow_tasks=TASKS if queue.workflows else None,
        interceptors=[*interceptors, FittingMessages()],
        graceful_shutdown_timeout=GRACE,
        sticky_queue_schedule_to_start_timeout=HANDOVER,
        max_heartbeat_throttle_interval=pulse,
        default_heartbeat_throttle_interval=pulse,
    )
