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
from workers.bridge import certificate_resources, certificates, clusters, components, releases, resources
from workers.bridge.certificate_workflows import CertificateWorkflows
from workers.bridge.definitions import register
from workers.bridge.kit.controller import Controller
from workers.bridge.kit.kube import FAILURES, Json, Kube
from workers.bridge.kit.leader import Lease, LeaseLostError, lead
from workers.bridge.kit.queue import backoff
from workers.bridge.kit.reflector import Key
from workers.bridge.kit.serving import Vitals, serving
from workers.bridge.metrics import cluster_metrics
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
            # With requests of their own to spend: those for resources must not keep the Lease from being renewed,
            # nor what is only shown those.
            kube, lasting, behind = Kube(client), Kube(client), Kube(client)
            vitals = Vitals(kube, lasting, behind)
            async with serving(vitals, settings.address):
                temporal = await _temporal(vitals)
                lease = Lease(lasting, settings.namespace, LEASE, settings.identity)
                await lead(lease, lambda: _work(settings, (kube, behind), temporal, vitals))
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


async def _work(settings: Settings, kubes: tuple[Kube, Kube], temporal: Client, vitals: Vitals) -> None:
    """Do what the one that leads does, by the one of ``kubes`` at once and by the other behind."""
    kube, behind = kubes
    if settings.register:
        await _until_done("definitions not registered", partial(register, kube), *FAILURES)
    publisher = releases.Releases(kube, load_releases())
    reconciler = clusters.Clusters(resources.Resources(kube), ClusterWorkflows(temporal))
    issuing = CertificateWorkflows(temporal)
    issuer = certificates.Certificates(kube, issuing)

    async def reconcile_cluster(key: Key, resource: Json | None) -> float | None:
        shower.note_cluster(key, resource)
        for each in issuer.note_cluster(key, resource, known["Certificate"].objects()):
            known["Certificate"].queue.add_after(each, certificates.SOONEST_S)
        return await reconciler.reconcile(key, resource)

    async def reconcile_certificate(key: Key, resource: Json | None) -> float | None:
        if components.is_shown(key, resource):
            shower.note(key, resource)
            return None
        return await issuer.reconcile(key, resource)

    known = {
        "Release": Controller(kube, releases.PATH, publisher.reconcile),
        "Cluster": Controller(kube, resources.PATH, reconcile_cluster, cluster_metrics),
        "Certificate": Controller(kube, certificate_resources.PATH, reconcile_certificate),
    }
    shower = components.Components(behind, issuing, known["Cluster"].objects, known["Certificate"].objects)
    vitals.controllers = known
    for key in publisher.keys:
        vitals.controllers["Release"].queue.add(key)
    log.info("bridge started", identity=settings.identity)
    async with asyncio.TaskGroup() as tasks:
        for controller in vitals.controllers.values():
            tasks.create_task(controller.run())
        tasks.create_task(shower.run())


if __name__ == "__main__":
    sys.exit(main())
