"""What an operator writes into the resources of one kind: its finalizer, and status."""

from kubernetes.aio.client.exceptions import ApiException

from workers.bridge.kit.kube import APPLY, MERGE_PATCH, Json, Kube
from workers.bridge.kit.reflector import Key


class Writer:
    """The resources of one kind, as one field manager. What it raises is that of ``Kube``."""

    def __init__(self, kube: Kube, path: str, kind: str, manager: str, finalizer: str) -> None:
        """Write below ``path``, which is that of the kind in all namespaces."""
        self._kube = kube
        self._path = path
        self._kind = kind
        self._manager = manager
        self._finalizer = finalizer

    def is_held(self, resource: Json) -> bool:
        """Say whether a resource has our finalizer."""
        return self._finalizer in (resource["metadata"].get("finalizers") or [])

    async def read(self, key: Key) -> Json | None:
        """Return a resource as it is now, None when there is none."""
        try:
            return await self._kube.get(path_of(self._path, key))
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    async def hold(self, resource: Json) -> Json:
        """Add our finalizer, if the resource is as it was read (409 otherwise)."""
        return await self._set_finalizers(resource, [*self._others(resource), self._finalizer])

    async def release(self, resource: Json) -> Json:
        """Take our finalizer away, if the resource is as it was read."""
        return await self._set_finalizers(resource, self._others(resource))

    async def change(self, resource: Json, metadata: Json) -> Json:
        """Merge into a resource's metadata, if the resource is as it was read (409 otherwise)."""
        version = resource["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version, **metadata}}
        return await self._kube.send("PATCH", path_of(self._path, key_of(resource)), body, MERGE_PATCH)

    async def apply(self, key: Key, body: Json) -> Json:
        """Apply a whole resource (server-side apply, Kubernetes API reference)."""
        query = f"fieldManager={self._manager}&force=true"
        return await self._kube.send(
            "PATCH", f"{path_of(self._path, key)}?{query}", {**self._head(), **body}, APPLY
        )

    async def apply_status(self, resource: Json, status: Json, manager: str = "") -> None:
        """Apply status, as ``manager`` if it is not to be what the usual one has applied."""
        metadata = {key: resource["metadata"][key] for key in ("name", "namespace", "uid")}
        body = {**self._head(), "metadata": metadata, "status": status}
        query = f"fieldManager={manager or self._manager}&force=true"
        await self._kube.send("PATCH", f"{path_of(self._path, key_of(resource))}/status?{query}", body, APPLY)

    async def remove(self, key: Key) -> None:
        """Delete a resource; that there is none is fine."""
        try:
            await self._kube.send("DELETE", path_of(self._path, key))
        except ApiException as error:
            if error.status != 404:
                raise

    async def _set_finalizers(self, resource: Json, finalizers: list[str]) -> Json:
        return await self.change(resource, {"finalizers": finalizers})

    def _others(self, resource: Json) -> list[str]:
        return [each for each in resource["metadata"].get("finalizers") or [] if each != self._finalizer]

    def _head(self) -> Json:
        return {"apiVersion": self._path.rpartition("/")[0].removeprefix("/apis/"), "kind": self._kind}


def path_of(collection: str, key: Key) -> str:
    """Return the path of a resource of a namespaced kind, whose own path, that of all namespaces, is given."""
    group, _, plural = collection.rpartition("/")
    return f"{group}/namespaces/{key[0]}/{plural}/{key[1]}"


def key_of(resource: Json) -> Key:
    """Return namespace and name."""
    return resource["metadata"]["namespace"], resource["metadata"]["name"]
