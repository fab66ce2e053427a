"""``python -m workers.worker``: the process that runs workflows and activities."""

import asyncio
import contextlib
import signal
import sys

import structlog

from workers.client import connect
from workers.worker import telemetry
from workers.worker.interceptors import ActivityBoundary
from workers.worker.serving import make_workers
from workers.worker.settings import Settings, from_environment
from workers.worker.tracing import tracing_interceptors
from workers.worker.wiring import all_queues

log = structlog.get_logger("worker")


async def run(settings: Settings) -> None:
    """Poll all queues until SIGTERM or SIGINT, then let running activities end."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tracing = tracing_interceptors() if telemetry.tracing_wanted() else []
    client = await connect(runtime=telemetry.runtime(settings.metrics_address), interceptors=tracing)
    async with contextlib.AsyncExitStack() as stack:
        for worker in make_workers(client, all_queues(settings), [ActivityBoundary()]):
            await stack.enter_async_context(worker)
        log.info("worker started", site=settings.site, temporal=client.service_client.config.target_host)
        await stop.wait()
        log.info("worker stopping")


def main() -> int:
    """Run a worker; returns the exit status."""
    telemetry.set_up_logging()
    if telemetry.tracing_wanted():
        telemetry.set_up_tracing()
    try:
        asyncio.run(run(from_environment()))
    except RuntimeError as error:
        log.error("worker can't start", reason=str(error))  # noqa: TRY400 - the reason is the whole story
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
