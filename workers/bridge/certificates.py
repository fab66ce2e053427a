"""From ``Certificate`` resources to Secrets: those of clusters' clients, which people make."""

import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from api.certificate import CertificateSpec
from api.conditions import READY, Reason
from api.errors import ErrorCode
from contracts.issuing import IssueRequest
from contracts.reporting import ResourceReference
from planning.issuing import renewal_time
from workers.bridge.certificate_resources import CertificateResources
from workers.bridge.certificate_status import failed, issued
from workers.bridge.certificate_workflows import CertificateWorkflows
from workers.bridge.components import is_shown
from workers.bridge.kit.conditions import condition_of
from workers.bridge.kit.kube import Json, Kube
from workers.bridge.kit.messages import NotRunningError, RefusedError, UnansweredError
from workers.bridge.kit.reflector import Key
from workers.bridge.kit.validation import InvalidError, validated
from workers.bridge.kit.writer import key_of

LOOK_S: Final = 1800.0
"""How often a certificate is compared with its Secret: whatever was done to that is mended within this time."""

ABSENT_S: Final = 60.0
SOONEST_S: Final = 5.0


class Certificates:
    """Keeps each certificate's Secret what its spec says; keeps nothing itself but when it looks again."""

    def __init__(self, kube: Kube, workflows: CertificateWorkflows) -> None:
        self._resources = CertificateResources(kube)
        self._workflows = workflows
        self._due: dict[Key, float] = {}
        self._clusters: dict[Key, str] = {}

    def note_cluster(self, key: Key, resource: Json | None, known: Mapping[Key, Json]) -> list[Key]:
        """Return which of the ``known`` certificates want a look soon: their cluster is gone, or there anew."""
        told = (resource.get("status") or {}).get("clusterId", "") if resource else ""
        before = self._clusters.get(key, told)
        if resource is None:
            self._clusters.pop(key, None)
        else:
            self._clusters[key] = told
        if before == told:
            return []
        found = [
            each
            for each, item in known.items()
            if (each[0], item["spec"]["clusterName"]) == key and not is_shown(each, item)
        ]
        self._due.update(dict.fromkeys(found, time.monotonic() + SOONEST_S))
        return found

    async def reconcile(self, key: Key, resource: Json | None) -> float | None:
        """Have a certificate issued, renewed or removed; returns when to look again, in seconds."""
        if resource is None:
            self._due.pop(key, None)
            return None
        held = self._resources.is_held(resource)
        if resource["metadata"].get("deletionTimestamp"):
            if held:
                await self._workflows.remove(_reference(resource))
                await self._resources.release(resource)
            return None
        if not held:
            resource = await self._resources.hold(resource)
        if key not in self._due:
            self._due[key] = time.monotonic() + _first_look(resource)
        wait = self._due[key] - time.monotonic()
        if wait > 0 and _observed(resource) == resource["metadata"]["generation"]:
            return wait
        wait = await self._compare(resource)
        self._due[key] = time.monotonic() + wait
        return wait

    async def _compare(self, resource: Json) -> float:
        try:
            return await self._issue(resource, validated(CertificateSpec, resource["spec"]))
        except InvalidError as error:
            await self._fail(resource, Reason.INVALID_SPEC, str(error))
            return LOOK_S
        except NotRunningError:
            cluster = f"{key_of(resource)[0]}/{resource['spec']['clusterName']}"
            await self._fail(resource, Reason.CLUSTER_NOT_FOUND, f"there is no cluster {cluster}: apply it first")
            return ABSENT_S
        except RefusedError as error:
            if error.code == ErrorCode.CLUSTER_NOT_READY:
                await self._fail(resource, Reason.ISSUING, str(error))
                return SOONEST_S
            await self._fail(resource, error.code or Reason.REFUSED, str(error))
            return LOOK_S
        except UnansweredError as error:
            await self._fail(resource, Reason.ISSUING, f"{error}; it goes on by itself")
            return SOONEST_S

    async def _issue(self, resource: Json, spec: CertificateSpec) -> float:
        generation = resource["metadata"]["generation"]
        known = await self._workflows.known(key_of(resource)[0], spec.cluster_name)
        start = IssueRequest(
            resource=_reference(resource), generation=generation, spec=spec, cluster=known.context
        )
        answer = await self._workflows.issue(start)
        await self._resources.tell(resource, issued(resource, spec, answer.held))
        renewed_at = renewal_time(spec, answer.held.not_after)
        if renewed_at is None:
            return LOOK_S
        return min(max((renewed_at - datetime.now(UTC)).total_seconds() + 1, SOONEST_S), LOOK_S)

    async def _fail(self, resource: Json, reason: str, message: str) -> None:
        await self._resources.tell(resource, failed(resource, reason, message))


def _first_look(resource: Json) -> float:
    """Return when to look at what another bridge may have looked at: all at once would be too much."""
    renewed_at = (resource.get("status") or {}).get("renewalTime")
    if condition_of(resource, READY).get("status") != "True" or not renewed_at:
        return 0.0
    due = (datetime.fromisoformat(renewed_at) - datetime.now(UTC)).total_seconds()
    return max(0.0, min(due, random.uniform(0, LOOK_S)))  # noqa: S311 - spreading, no secret


def _observed(resource: Json) -> int:
    return int((resource.get("status") or {}).get("observedGeneration", 0))


def _reference(resource: Json) -> ResourceReference:
    metadata = resource["metadata"]
    return ResourceReference(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])
