"""A thin typed edge over the official asynchronous client: paths and JSON, as the API reference has them."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
from aiolimiter import AsyncLimiter
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import ApiException

Json = dict[str, Any]

JSON: Final = "application/json"
APPLY: Final = "application/apply-patch+yaml"
MERGE_PATCH: Final = "application/merge-patch+json"
PAGE: Final = 500
TIMEOUT: Final = aiohttp.ClientTimeout(total=15)
GONE: Final = 410
RATE: Final = 20
"""Requests a second of one process, on average over five seconds: what client-go's QPS is by default."""

FAILURES: Final = (ApiException, aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""What every method may raise: the API's refusal (``status``), or no usable answer."""


class Kube:
    """One API server, as the identity of an ``ApiClient``, asked ``rate`` times a second at most."""

    def __init__(self, client: ApiClient, rate: float = RATE) -> None:
        self._client: Any = client
        self._limiter = AsyncLimiter(5 * rate, 5)
        self.requests = 0

    async def get(self, path: str) -> Json:
        """Read an object or a list."""
        return await self.send("GET", path)

    async def listed(self, path: str) -> tuple[list[Json], str]:
        """Return all objects of a collection, read in pages, and the resource version to watch from."""
        items: list[Json] = []
        token = ""
        while True:
            page = await self.get(f"{path}?limit={PAGE}&continue={token}")
            items += page["items"]
            token = page["metadata"].get("continue", "")
            if not token:
                return items, page["metadata"]["resourceVersion"]

    async def watch(self, path: str, version: str, seconds: int, silence: float) -> AsyncIterator[Json]:
        """Yield the events of a collection since a resource version, bookmarks included, for some seconds.

        TimeoutError when nothing at all comes for ``silence`` seconds. ApiException with 410 when the version is
        too old, which the API may say in an event too.
        """
        query = f"?watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={version}"
        limit = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT.total, sock_read=silence)
        response = await self._send("GET", path + query, limit=limit)
        async with response.response as stream:
            if response.status != 200:
                await response.read()
                raise ApiException(http_resp=response)
            async for line in stream.content:
                event: Json = json.loads(line)
                if event["type"] == "ERROR":
                    raise ApiException(status=event["object"].get("code"), reason=event["object"].get("message"))
                yield event

    async def send(self, method: str, path: str, body: Any = None, content_type: str = JSON) -> Json:
        """Send a request and return the object that answers it."""
        response = await self._send(method, path, body, content_type)
        data = await response.read()
        if not 200 <= response.status < 300:
            raise ApiException(http_resp=response)
        answer: Json = json.loads(data)
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = JSON,
        limit: aiohttp.ClientTimeout = TIMEOUT,
    ) -> Any:
        await self._limiter.acquire()
        self.requests += 1
        configuration = self._client.configuration
        headers = {"Accept": JSON, "Content-Type": content_type, **self._client.default_headers}
        # Asked for each time: a pod's token is renewed (Kubernetes: bound service account tokens).
        if token := await configuration.get_api_key_with_prefix("BearerToken", alias="authorization"):
            headers["Authorization"] = token
        url = configuration.host + path
        return await self._client.call_api(method, url, headers, body, _request_timeout=limit)
