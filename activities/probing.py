"""Looking at a cluster's API for as long as it lives: one long activity, which ends when something has changed."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog
from temporalio import activity

from contracts import activities as names
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.reporting import ApiHealth, ProbeRequest

INTERVAL_SECONDS = 30.0
AGAIN_SECONDS = 5.0
"""Between two looks at an API that doesn't answer, or can't be asked: one is no proof."""

THREADS = 32
"""Looks at the same time: one at a cluster that is silent takes seconds."""

Look = Callable[[ClusterContext], ApiHealth]
"""Looks once; raises ``StepError`` when it can't look at all."""

log = structlog.get_logger(__name__)


class Prober:
    """Probes by ``look``, which may take its time and is called in a thread."""

    def __init__(self, look: Look) -> None:
        """Look at nothing yet."""
        self._look = look
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="probe")

    @activity.defn(name=names.PROBE_API)
    async def probe_api(self, request: ProbeRequest) -> ApiHealth:
        """Return what is seen as soon as it is not what was known."""
        known = request.known
        if known:
            await asyncio.sleep(AGAIN_SECONDS)  # however often it changes
        while True:
            seen = await self._see(request)
            if not seen.available and known and known.available:
                await asyncio.sleep(AGAIN_SECONDS)
                seen = await self._see(request)
            if known is None or _essence(seen) != _essence(known):
                log.info("api changed", available=seen.available, message=seen.message)
                return seen
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _see(self, request: ProbeRequest) -> ApiHealth:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._look, request.cluster)
        except StepError as error:
            blind = request.known or ApiHealth(available=None)
            return blind.model_copy(update={"available": None, "message": f"{error.code}: {error.message}"})


def _essence(health: ApiHealth) -> ApiHealth:
    """Return what counts as a change: the words for why an API doesn't answer may differ with each look."""
    return health if health.available else health.model_copy(update={"message": ""})
