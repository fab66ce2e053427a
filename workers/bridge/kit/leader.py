"""Being the only one that acts: a Lease (Kubernetes: Leases), as client-go's leader election has it.

Two at a time do no harm, as every step may be done twice; one is cheaper, and easier to follow. The official
client's own election can't be used: in version 37 it can't make a Lease (it gives ``pretty=True``, which its own
validation refuses), and ends with the first connection that breaks.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from kubernetes.aio.client.exceptions import ApiException

from workers.bridge.kit.kube import FAILURES, Json, Kube

LEASE_S, RENEW_S, RETRY_S = 15.0, 10.0, 2.0
"""client-go's usual times: held for 15 s, given up when it can't be renewed for 10 s, tried every 2 s."""

log = structlog.get_logger(__name__)


class LeaseLostError(Exception):
    """Somebody else may act now: the process has to end."""


async def lead(lease: "Lease", work: Callable[[], Awaitable[None]]) -> None:
    """Wait until the Lease is ours, then do ``work`` until it ends, raises or is cancelled; give the Lease back.

    LeaseLostError when the Lease could not be renewed in time; ``work`` was cancelled then.
    """
    await lease.acquire()
    log.info("leading", lease=lease.path, identity=lease.identity)
    renewing = asyncio.create_task(lease.keep())
    working = asyncio.ensure_future(work())
    try:
        await asyncio.wait({renewing, working}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        renewing.cancel()
        working.cancel()
        await asyncio.gather(renewing, working, return_exceptions=True)
        await lease.give_back()
    if working.cancelled():
        raise LeaseLostError(f"{lease.path} could not be renewed within {RENEW_S:.0f} s")
    working.result()


class Lease:
    """A Lease by namespace and name, and who wants it. Our own clock alone tells when another's has run out."""

    def __init__(self, kube: Kube, namespace: str, name: str, identity: str) -> None:
        self.identity = identity
        self.path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"
        self._collection, self._name = self.path.rsplit("/", 1)
        self._kube = kube
        self._seen: Any = None
        self._seen_at = 0.0

    async def acquire(self) -> None:
        """Wait until it is ours."""
        while not await self._attempt():  # noqa: ASYNC110 - nobody tells of a Lease
            await asyncio.sleep(RETRY_S)

    async def keep(self) -> None:
        """Renew it; returns when that did not succeed in time."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while loop.time() < renewed + RENEW_S:
            await asyncio.sleep(RETRY_S)
            if await self._attempt():
                renewed = loop.time()

    async def give_back(self) -> None:
        """Let the next one have it at once, if it is ours and that can still be said."""
        try:
            found = await self._kube.get(self.path)
            if found["spec"].get("holderIdentity") == self.identity:
                await self._put(found, {**found["spec"], "holderIdentity": ""})
        except FAILURES as error:
            log.info("lease not given back", lease=self.path, reason=str(error))

    async def _attempt(self) -> bool:
        """Take it or renew it; False when another one has it, or nobody could be asked."""
        try:
            async with asyncio.timeout(RENEW_S):
                return await self._take()
        except FAILURES as error:
            log.warning("lease not had", lease=self.path, reason=str(error) or type(error).__name__)
            return False

    async def _take(self) -> bool:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        wanted = {"holderIdentity": self.identity, "leaseDurationSeconds": max(1, int(LEASE_S)), "renewTime": now}
        try:
            found = await self._kube.get(self.path)
        except ApiException as error:
            if error.status != 404:
                raise
            body = {
                "metadata": {"name": self._name},
                "spec": {**wanted, "acquireTime": now, "leaseTransitions": 0},
            }
            await self._kube.send("POST", self._collection, body)
            return True
        spec = found["spec"]
        if not self._free(spec):
            return False
        if spec.get("holderIdentity") != self.identity:
            wanted |= {"acquireTime": now, "leaseTransitions": spec.get("leaseTransitions", 0) + 1}
        await self._put(found, {**spec, **wanted})
        return True

    def _free(self, spec: Json) -> bool:
        """Say whether nobody else has it: its holder gave it back, or has not renewed it for long enough."""
        now = asyncio.get_running_loop().time()
        if spec != self._seen:
            self._seen, self._seen_at = spec, now
        ours = spec.get("holderIdentity") in {None, "", self.identity}
        return ours or now > self._seen_at + spec.get("leaseDurationSeconds", 0)

    async def _put(self, found: Json, spec: Json) -> None:
        """Write it if nobody else has meanwhile (409 otherwise)."""
        await self._kube.send("PUT", self.path, {**found, "spec": spec})
