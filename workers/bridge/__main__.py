"""``python -m workers.bridge``: the process between the resources of the host cluster and the workflows."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config
from temporalio.client import Client
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from planning.releases import load_releases
from workers.bridge import clusters, releases, resources
from workers.bridge.definitions import register
from workers.bridge.kit.controller import Controller
from workers.bridge.kit.kube import FAILURES, Kube
from workers.bridge.kit.leader import Lease, LeaseLostError, lead
from workers.bridge.kit.queue import backoff
from workers.bridge.serving import Vitals, serving
from workers.bridge.settings import Settings, from_environment
from workers.bridge.workflows import ClusterWorkflows
from workers.client import connect
from workers.worker import telemetry

T = TypeVar("T")

LEASE = "giantnetes-bridge"

log = structlog.get_logger("bridge")


def main() -> int:
    """Run a bridge until SIGTERM or SIGINT, or until another one has taken over; returns the exit status."""
    telemetry.set_up_logging()
    try:
        asyncio.run(_run(from_environment()))
    except LeaseLostError as error:
        log.error("another bridge may lead", reason=str(error))  # noqa: TRY400 - the reason is the whole story
        return 1
    return 0


async def _run(settings: Settings) -> None:
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel if task else sys.exit)
    try:
        async with await _client(settings) as client:
            kube = Kube(client)
            vitals = Vitals(kube)
            async with serving(vitals, settings.address):
                workflows = ClusterWorkflows(await _temporal(vitals))
                # With requests of its own to spend: those for resources must not keep it from being renewed.
                lease = Lease(Kube(client), settings.namespace, LEASE, settings.identity)
                await lead(lease, lambda: _work(settings, kube, workflows, vitals))
    except asyncio.CancelledError:
        log.info("bridge stopping")


async def _client(settings: Settings) -> ApiClient:
    configuration = Configuration()
    if settings.kubeconfig:
        await load_kube_config(  # type: ignore[no-untyped-call]
            str(settings.kubeconfig), client_configuration=configuration
        )
    else:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return ApiClient(configuration)


async def _temporal(vitals: Vitals) -> Client:
    client = await _until_done("Temporal can't be reached", connect, RuntimeError)
    vitals.connected = True
    return client


async def _until_done(failure: str, call: Callable[[], Awaitable[T]], *failures: type[BaseException]) -> T:
    """Try until it is done, however long what it needs is away."""

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning(failure, reason=str(error) or type(error).__name__)

    trying = AsyncRetrying(
        retry=retry_if_exception_type(failures),
        wait=lambda state: backoff(state.attempt_number),
        before_sleep=tell,
    )
    return await trying(call)


async def _work(settings: Settings, kube: Kube, workflows: ClusterWorkflows, vitals: Vitals) -> None:
    """Do what the one that leads does."""
    if settings.register:
        await _until_done("definitions not registered", partial(register, kube), *FAILURES)
    publisher = releases.Releases(kube, load_releases())
    reconciler = clusters.Clusters(resources.Resources(kube), workflows)
    vitals.controllers = {
        "Release": Controller(kube, releases.PATH, publisher.reconcile),
        "Cluster": Controller(kube, resources.PATH, reconciler.reconcile),
    }
    for key in publisher.keys:
        vitals.controllers["Release"].queue.add(key)
    log.info("bridge started", identity=settings.identity)
    async with asyncio.TaskGroup() as tasks:
        for controller in vitals.controllers.values():
            tasks.create_task(controller.run())


if __name__ == "__main__":
    sys.exit(main())
