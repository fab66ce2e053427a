"""Running a worker process: from its logging to its end."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Sequence

import structlog
import uvloop
from temporalio.common import MetricMeter
from temporalio.runtime import Runtime
from temporalio.worker import Worker

from workers import probes
from workers.client import connect
from workers.worker import telemetry
from workers.worker.interceptors import ActivityBoundary
from workers.worker.serving import Queue, make_workers
from workers.worker.tracing import tracing_interceptors

log = structlog.get_logger("worker")


def run(
    queues: Callable[[MetricMeter], Sequence[Queue]],
    metrics_address: str | None,
    health_address: str | None = None,
) -> int:
    """Poll ``queues`` until SIGTERM or SIGINT, then let running activities end; returns the exit status.

    ``queues`` is given the meter of the process's metrics; it may raise RuntimeError, whose text says why there
    can be none. At ``health_address`` it answers ``/healthz`` while its event loop turns, and ``/readyz`` from
    when Temporal has let it in and its workers run.
    """
    telemetry.set_up_logging()
    if telemetry.tracing_wanted():
        telemetry.set_up_tracing()
    try:
        runtime = telemetry.runtime(metrics_address)
        serving = _serve(queues(runtime.metric_meter), runtime, health_address)
        # What is there by now stays: a collection, which holds up everything, need not look at it each time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 10, 5)
        uvloop.run(serving)
    except RuntimeError as error:
        log.error("worker can't start", reason=str(error))  # noqa: TRY400 - the reason is the whole story
        return 1
    return 0


async def _serve(queues: Sequence[Queue], runtime: Runtime, health_address: str | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tracing = tracing_interceptors() if telemetry.tracing_wanted() else []
    client = await connect(runtime=runtime, interceptors=tracing)
    workers = make_workers(client, queues, [ActivityBoundary()])
    async with contextlib.AsyncExitStack() as stack:
        if health_address:
            await stack.enter_async_context(probes.serving(health_address, _pages(workers)))
        for worker in workers:
            await stack.enter_async_context(worker)
        log.info(
            "worker started",
            queues=[queue.name for queue in queues],
            temporal=client.service_client.config.target_host,
        )
        await stop.wait()
        log.info("worker stopping")
        # All at once: workflows are handed over only when their own worker stops, and activities take their grace.
        await asyncio.gather(*(worker.shutdown() for worker in workers))


def _pages(workers: Sequence[Worker]) -> dict[str, probes.Handler]:
    return {
        "/healthz": probes.answer(lambda: True),
        "/readyz": probes.answer(lambda: all(worker.is_running for worker in workers)),
    }
