"""What the bridge writes into ``Cluster`` resources: its finalizer, two conditions, and nothing else."""

from typing import Final

from kubernetes.aio.client.exceptions import ApiException

from api.cluster import API_VERSION
from api.conditions import ConditionType, Reason
from api.resource import FINALIZER, OPERATION
from workers.bridge.kit.conditions import condition, condition_of
from workers.bridge.kit.kube import Json, Kube
from workers.bridge.kit.reflector import Key
from workers.bridge.kit.writer import Writer

PATH: Final = f"/apis/{API_VERSION}/clusters"
MANAGER: Final = "giantnetes-bridge"
TRIES: Final = 5


class Resources(Writer):
    """The ``Cluster`` resources of one host cluster. What it raises is that of ``Kube``."""

    def __init__(self, kube: Kube) -> None:
        super().__init__(kube, PATH, "Cluster", MANAGER, FINALIZER)

    async def take_up(self, key: Key, operation: str) -> None:
        """Take the annotation away that asked for an operation, unless it asks for another one by now.

        Not by a JSON patch with a test: the API compares bytes there, and our escapes are not those it stores.
        """
        for _ in range(TRIES):
            found = await self.read(key)
            if found is None or (found["metadata"].get("annotations") or {}).get(OPERATION) != operation:
                return
            try:
                await self.change(found, {"annotations": {OPERATION: None}})
            except ApiException as error:
                if error.status != 409:
                    raise
            else:
                return

    async def accept(self, resource: Json, status: str, reason: str, message: str) -> None:
        """Write the condition ``Accepted``, unless it says so already."""
        await self._write(resource, ConditionType.ACCEPTED, (status, reason, message), MANAGER)

    async def doubt(self, resource: Json, message: str) -> None:
        """Make ``Available`` unknown, as another writer than for ``Accepted``: the next report takes it back."""
        verdict = ("Unknown", Reason.NOT_REPORTED, message)
        await self._write(resource, ConditionType.AVAILABLE, verdict, f"{MANAGER}-doubt")

    async def _write(
        self, resource: Json, kind: ConditionType, verdict: tuple[str, str, str], manager: str
    ) -> None:
        told = condition(resource, kind, *verdict)
        if told != condition_of(resource, kind):
            await self.apply_status(resource, {"conditions": [told]}, manager)
