"""A thin typed edge over the official client's transport.

Generated classes and the dynamic client are left out: the first build objects that are thrown away at once,
the second asks for the whole API first. Paths and JSON as the API reference has them are enough.
"""

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from typing import Any, NamedTuple, Self

from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException

from activities.kubernetes.errors import guest_errors

Json = dict[str, Any]

FIELD_MANAGER = "giantnetes"
CONNECTIONS = 4
"""Kept connections of one client, and requests at a time: the API server has as few cores to answer with."""

TIMEOUTS = (3.0, 15.0)
"""Seconds to connect, and between bytes of an answer."""

APPLY_SECONDS = 36.0
"""Between bytes of the answer to an applied object. An API server gives a change up after 34 s (apiserver's
requestTimeoutUpperBound); one that is left before may have taken an address, which is freed ten minutes later."""

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"


class Answer(NamedTuple):
    """Status code and body of an answer, whatever it says."""

    status: int
    body: str


class KubernetesClient:
    """One API server at ``url``, as the identity of a TLS context, over kept connections.

    Every method raises ``StepError``. ``errors`` says which: for guest clusters API_NOT_READY without a usable
    answer, API_DENIED when refused, INTERNAL for requests that the API calls wrong.
    """

    def __init__(
        self,
        url: str,
        tls: ssl.SSLContext,
        token: str = "",
        errors: Callable[[str], AbstractContextManager[None]] = guest_errors,
        connections: int = CONNECTIONS,
    ) -> None:
        self.url = url
        self._errors = errors
        configuration = Configuration(host=url, retries=False, connection_pool_maxsize=connections)
        configuration.proxy = None
        header = ("Authorization", f"Bearer {token}") if token else ()
        self._api: Any = ApiClient(configuration, *header)
        self._api.user_agent = FIELD_MANAGER
        self._api.rest_client.pool_manager.connection_pool_kw["ssl_context"] = tls

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._api.close()

    def ask(self, method: str, path: str, body: Any = None, content_type: str = JSON) -> Answer:
        """Send a request and return its answer, errors of the API included."""
        with self._errors(f"{method} {self.url}{path}"):
            response = self._send(method, path, body, content_type)
            return Answer(response.status, response.read().decode())

    def get(self, path: str) -> Json:
        """Read an object or a list."""
        return self._request("GET", path)

    def find(self, path: str) -> Json | None:
        """Read an object, None when there is none."""
        return self._request("GET", path, tolerated=(404,)) or None

    def create(self, path: str, body: Json) -> Json:
        """Add an object to a collection."""
        return self._request("POST", path, body)

    def apply(self, path: str, body: Json) -> Json:
        """Make an object's fields what ``body`` says (Kubernetes: server-side apply), taking them over."""
        return self._request("PATCH", f"{path}?fieldManager={FIELD_MANAGER}&force=true", body, APPLY)

    def change(self, path: str, patch: Any, content_type: str) -> Json | None:
        """Patch an object; return it, or None when it is gone or has changed under the patch."""
        return self._request("PATCH", path, patch, content_type, tolerated=(404, 409, 422)) or None

    def watch(self, path: str, version: str) -> Iterator[Json]:
        """Yield the events of a collection since a resource version, for one second."""
        query = f"{path}?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion={version}"
        with self._errors(f"WATCH {self.url}{path}"):
            response = self._send("GET", query)
            if response.status != 200:
                response.read()
                raise ApiException(http_resp=response)
            with closing(response.response) as lines:
                for line in lines:
                    yield json.loads(line)

    def _request(
        self, method: str, path: str, body: Any = None, content_type: str = JSON, tolerated: tuple[int, ...] = ()
    ) -> Json:
        """Send a request and return the object that answers it, an empty one for tolerated status codes."""
        with self._errors(f"{method} {self.url}{path.partition('?')[0]}"):
            response = self._send(method, path, body, content_type)
            data = response.read()
            if response.status in tolerated:
                return {}
            if not 200 <= response.status < 300:
                raise ApiException(http_resp=response)
            answer: Json = json.loads(data)
            return answer

    def _send(self, method: str, path: str, body: Any = None, content_type: str = JSON) -> Any:
        headers = {"Accept": "application/json", "Content-Type": content_type, **self._api.default_headers}
        timeouts = (TIMEOUTS[0], APPLY_SECONDS if content_type == APPLY else TIMEOUTS[1])
        return self._api.call_api(method, self.url + path, headers, body, _request_timeout=timeouts)


def follow(client: KubernetesClient, path: str) -> Iterator[dict[str, Json]]:
    """Yield a collection's objects by name: at once, after each change, and at least every second.

    It never ends by itself; the caller looks at the clock, and may put newer objects in.
    """
    version = ""
    objects: dict[str, Json] = {}
    while True:
        if not version:
            version, objects = _list(client, path)
        yield objects
        for event in client.watch(path, version):
            if event["type"] == "ERROR":
                version = ""
                break
            version = event["object"]["metadata"]["resourceVersion"]
            if _change(objects, event):
                yield objects


def _list(client: KubernetesClient, path: str) -> tuple[str, dict[str, Json]]:
    answer = client.get(path)
    objects = {item["metadata"]["name"]: item for item in answer["items"]}
    return answer["metadata"]["resourceVersion"], objects


def _change(objects: dict[str, Json], event: Json) -> bool:
    """Take over a watch event; return whether that changed anything.

    A caller may have put in what its own patch answered; an older event must not undo that. Resource versions
    of one collection can be compared as numbers (Kubernetes API concepts, since 1.35).
    """
    changed: Json = event["object"]
    name = changed["metadata"].get("name", "")
    if event["type"] == "BOOKMARK" or (name in objects and _version(changed) <= _version(objects[name])):
        return False
    if event["type"] == "DELETED":
        objects.pop(name, None)
    else:
        objects[name] = changed
    return True


def _version(item: Json) -> int:
    return int(item["metadata"]["resourceVersion"])
