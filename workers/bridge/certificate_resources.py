"""What the bridge writes into ``Certificate`` resources: finalizer and status, and all of those it shows."""

from typing import Final

from api.certificate import CertificateStatus
from api.cluster import API_VERSION
from workers.bridge.kit.kube import Json, Kube
from workers.bridge.kit.reflector import Key
from workers.bridge.kit.writer import Writer
from workers.bridge.resources import MANAGER

PATH: Final = f"/apis/{API_VERSION}/certificates"
FINALIZER: Final = "certificate.giantnetes.io"
"""Keeps a ``Certificate`` until its Secret is removed."""


class CertificateResources(Writer):
    """The ``Certificate`` resources of one host cluster. What it raises is that of ``Kube``."""

    def __init__(self, kube: Kube) -> None:
        super().__init__(kube, PATH, "Certificate", MANAGER, FINALIZER)

    async def tell(self, resource: Json, status: CertificateStatus) -> Json:
        """Write a status, unless the resource has it already; returns it as it is written."""
        wanted = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        if wanted != resource.get("status"):
            await self.apply_status(resource, wanted)
        return wanted

    async def show(self, key: Key, spec: Json, cluster: Json) -> Json:
        """Make a resource that goes with a ``Cluster``."""
        metadata = cluster["metadata"]
        owner = {"apiVersion": API_VERSION, "kind": "Cluster", "name": metadata["name"], "uid": metadata["uid"]}
        labels = {"app.kubernetes.io/managed-by": "giantnetes", "giantnetes.io/cluster": metadata["name"]}
        head = {"name": key[1], "namespace": key[0], "labels": labels, "ownerReferences": [owner]}
        return await self.apply(key, {"metadata": head, "spec": spec})
