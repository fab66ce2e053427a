"""Operations that an annotation of a ``Cluster`` asks for: passed on once, answered, and taken up."""

import hashlib

from api.conditions import ConditionType, Reason
from api.resource import OPERATION
from workers.bridge.decisions import Operate, asker
from workers.bridge.kit.conditions import condition_of
from workers.bridge.kit.kube import Json
from workers.bridge.kit.messages import RefusedError
from workers.bridge.kit.writer import key_of
from workers.bridge.resources import Resources
from workers.bridge.workflows import ClusterWorkflows


class Operations:
    """Passes operations on to clusters' workflows."""

    def __init__(self, resources: Resources, workflows: ClusterWorkflows) -> None:
        self._resources = resources
        self._workflows = workflows

    async def pass_on(self, resource: Json, wanted: Operate) -> None:
        """Send an operation, and answer. Raises ``NotRunningError`` when the workflow doesn't run."""
        namespace, name = key_of(resource)
        try:
            answer = await self._workflows.update(
                namespace,
                name,
                wanted.update,
                asker=asker(resource),
                uid=resource["metadata"]["uid"],
                machine=wanted.machine,
                once=_once(resource, wanted),
            )
        except RefusedError as error:
            await self.answer(resource, Reason.REFUSED, str(error))
        else:
            await self.answer(resource, Reason.ACCEPTED, answer.message)

    async def answer(self, resource: Json, reason: Reason, message: str) -> None:
        """Answer an operation in the condition of the spec, which it doesn't change; then take it up."""
        operation = resource["metadata"]["annotations"][OPERATION]
        status = condition_of(resource, ConditionType.ACCEPTED).get("status", "True")
        await self._resources.accept(resource, status, reason, f"{operation[:100]}: {message}")
        await self._resources.take_up(key_of(resource), operation)


def _once(resource: Json, wanted: Operate) -> str:
    """Return an id for what an annotation asks for: another one when it is asked for again."""
    metadata = resource["metadata"]
    times = [
        entry.get("time", "")
        for entry in metadata.get("managedFields") or []
        if f"f:{OPERATION}" in entry.get("fieldsV1", {}).get("f:metadata", {}).get("f:annotations", {})
    ]
    told = "/".join([metadata["uid"], wanted.annotation, *times])
    return hashlib.sha256(told.encode()).hexdigest()[:32]
