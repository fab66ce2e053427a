"""Conditions of resources (Kubernetes API conventions: typical status properties). Pure but for the clock."""

from datetime import UTC, datetime
from typing import Final

from workers.bridge.kit.kube import Json

MESSAGE_LENGTH: Final = 1000


def condition_of(resource: Json, kind: str) -> Json:
    """Return a condition of a resource, an empty one if it has none such."""
    conditions = (resource.get("status") or {}).get("conditions") or []
    return next((condition for condition in conditions if condition.get("type") == kind), {})


def condition(resource: Json, kind: str, status: str, reason: str, message: str) -> Json:
    """Return a condition for a resource as it is now, which keeps its time while its status stays."""
    before = condition_of(resource, kind)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": str(kind),
        "status": status,
        "reason": str(reason),
        "message": message[:MESSAGE_LENGTH],
        "lastTransitionTime": before["lastTransitionTime"] if before.get("status") == status else now,
        "observedGeneration": resource["metadata"]["generation"],
    }
