"""Looking at a cluster's API for as long as it lives: one long activity, which ends when something has changed."""

import asyncio
from collections.abc import Callable

import structlog
from temporalio import activity

from contracts import activities as names
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.reporting import ApiHealth, ProbeRequest

INTERVAL_SECONDS = 30.0
AGAIN_SECONDS = 5.0
"""Between two looks at an API that doesn't answer, or can't be asked: one is no proof."""

Look = Callable[[ClusterContext], ApiHealth]
"""Looks once; raises ``StepError`` when it can't look at all."""

log = structlog.get_logger(__name__)


class Prober:
    """Probes by ``look``, which may take its time and is called in a thread."""

    def __init__(self, look: Look) -> None:
        """Look at nothing yet."""
        self._look = look

    @activity.defn(name=names.PROBE_API)
    async def probe_api(self, request: ProbeRequest) -> ApiHealth:
        """Return what is seen as soon as it is not what was known."""
        while True:
            seen = await self._see(request)
            if not seen.available and request.known and request.known.available:
                await asyncio.sleep(AGAIN_SECONDS)
                seen = await self._see(request)
            if seen != request.known:
                log.info("api changed", available=seen.available, message=seen.message)
                return seen
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _see(self, request: ProbeRequest) -> ApiHealth:
        try:
            return await asyncio.to_thread(self._look, request.cluster)
        except StepError as error:
            blind = request.known or ApiHealth(available=None)
            return blind.model_copy(update={"available": None, "message": f"{error.code}: {error.message}"})
