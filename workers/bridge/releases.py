"""``Release`` resources: what ``deploy/releases`` has, for people to choose from. The files are the truth."""

from collections.abc import Mapping
from typing import Final

import structlog
from kubernetes.aio.client.exceptions import ApiException

from api.cluster import API_VERSION
from api.release import Release
from workers.bridge.kit.kube import Json, Kube
from workers.bridge.kit.reflector import Key

PATH: Final = f"/apis/{API_VERSION}/releases"
LABEL: Final = {"app.kubernetes.io/managed-by": "giantnetes"}

log = structlog.get_logger(__name__)


class Releases:
    """Makes the resources what the files say: whatever was made, changed or deleted by hand."""

    def __init__(self, kube: Kube, releases: Mapping[str, Release]) -> None:
        self._kube = kube
        self._releases = releases

    @property
    def keys(self) -> list[Key]:
        """The keys of all releases that there are to be."""
        return [("", name) for name in self._releases]

    async def reconcile(self, key: Key, resource: Json | None) -> None:
        """Publish a release, or take away one that there is no file of."""
        name = key[1]
        release = self._releases.get(name)
        wanted = resource_of(release) if release else None
        if resource is not None and (wanted is None or resource["spec"] != wanted["spec"]):
            log.warning("release is not what its file says: it is made anew", release=name)
            await self._ignoring(404, "DELETE", f"{PATH}/{name}")
            resource = None
        if resource is None and wanted is not None:
            await self._ignoring(409, "POST", PATH, wanted)

    async def _ignoring(self, status: int, method: str, path: str, body: Json | None = None) -> None:
        try:
            await self._kube.send(method, path, body)
        except ApiException as error:
            if error.status != status:
                raise


def resource_of(release: Release) -> Json:
    """Return a release as a resource."""
    parts = release.model_dump(
        mode="json", by_alias=True, exclude={"api_version", "kind", "name"}, exclude_none=True
    )
    return {
        "apiVersion": API_VERSION,
        "kind": "Release",
        "metadata": {"name": release.name, "labels": LABEL},
        "spec": parts,
    }
