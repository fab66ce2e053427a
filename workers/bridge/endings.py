"""The end of a ``Cluster`` resource: with its cluster, or without it."""

import structlog

from api.conditions import Reason
from api.errors import ErrorCode
from contracts.workflows import ClusterInput
from workers.bridge.decisions import asker
from workers.bridge.kit.kube import Json
from workers.bridge.kit.messages import NotRunningError, RefusedError
from workers.bridge.kit.writer import key_of
from workers.bridge.resources import Resources
from workers.bridge.workflows import ClusterWorkflows

log = structlog.get_logger(__name__)


class Endings:
    """Has clusters deleted or let go by their workflows, which let their resources go when they are done."""

    def __init__(self, resources: Resources, workflows: ClusterWorkflows) -> None:
        self._resources = resources
        self._workflows = workflows

    async def delete(self, resource: Json, start: ClusterInput | None) -> None:
        """Have a cluster deleted, by a workflow that is started with ``start`` if none runs."""
        namespace, name = key_of(resource)
        try:
            if start:
                await self._workflows.delete(start)
            else:
                uid = resource["metadata"]["uid"]
                await self._workflows.update(namespace, name, "delete", asker=asker(resource), uid=uid)
        except NotRunningError:
            if (resource.get("status") or {}).get("clusterId"):
                message = "its workflow has ended, and can't be started with this spec: correct the spec"
                await self._resources.accept(resource, "False", Reason.CANNOT_START, message)
            else:
                await self._resources.release(resource)
        except RefusedError as error:
            await self._release_or_tell(resource, error)
        else:
            await self._resources.accept(resource, "True", Reason.ACCEPTED, "the deletion is taken up")

    async def abandon(self, resource: Json) -> None:
        """Have a resource let go whose cluster lives on."""
        (namespace, name), uid = key_of(resource), resource["metadata"]["uid"]
        try:
            await self._workflows.update(
                namespace, name, "abandon", asker=asker(resource), uid=uid, once=f"abandon/{uid}"
            )
        except NotRunningError:
            log.warning("abandoned without a workflow", cluster=name, namespace=namespace)
            await self._resources.release(resource)
        except RefusedError as error:
            await self._release_or_tell(resource, error)

    async def _release_or_tell(self, resource: Json, error: RefusedError) -> None:
        """Let a resource go that no cluster is of: its own spec was never taken up. Else say why it stays."""
        if error.code == ErrorCode.NAME_CONFLICT:
            await self._resources.release(resource)
        else:
            await self._resources.accept(resource, "False", error.code or Reason.REFUSED, str(error))
