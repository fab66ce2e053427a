"""``Certificate`` resources that show which certificates the machines of clusters have: read-only.

They follow what clusters' workflows know, behind everything else: what is written about the operations of clusters
goes before. Those that people delete, or whose status they edit, are put back.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog

from api.certificate import CertificateSpec, CertificateStatus
from api.conditions import ConditionType, Reason
from contracts.vault import Issued
from contracts.workflows import CertificatesAnswer
from planning.certificates import Held, Known, certificates
from workers.bridge.certificate_resources import CertificateResources
from workers.bridge.certificate_status import ready
from workers.bridge.certificate_workflows import CertificateWorkflows
from workers.bridge.kit.conditions import condition_of
from workers.bridge.kit.kube import Json, Kube
from workers.bridge.kit.messages import NotRunningError, UnansweredError
from workers.bridge.kit.queue import WorkQueue
from workers.bridge.kit.reflector import Key

SOON_S: Final = 3.0

STANDBACK_S: Final = 10
"""How long what is to be shown waits for each cluster with an operation that moves."""

PATIENCE_S: Final = 300
"""How long it waits at most: a fleet is never at rest."""

log = structlog.get_logger(__name__)

Objects = Callable[[], Mapping[Key, Json]]


class Components:
    """Shows the certificates of each cluster; keeps nothing but what it saw and wrote last."""

    def __init__(self, kube: Kube, workflows: CertificateWorkflows, clusters: Objects, shown: Objects) -> None:
        """Write by ``kube``; ``clusters`` and ``shown`` return the resources as last heard of."""
        self._resources = CertificateResources(kube)
        self._workflows = workflows
        self._clusters = clusters
        self._shown = shown
        self._queue: WorkQueue[Key] = WorkQueue()
        self._seen: dict[Key, object] = {}
        self._wrote: dict[Key, str] = {}
        self._waited_for = 0

    def note_cluster(self, key: Key, resource: Json | None) -> None:
        """Look at a cluster's certificates soon, if its resource tells that they may be others."""
        if resource and _is_busy(resource):
            return  # at its end all of them are known
        told = _told(resource) if resource else None
        if self._seen.get(key) == told:
            return
        self._seen[key] = told
        if resource is None:
            del self._seen[key]
        self._queue.add_after(key, SOON_S)

    def note(self, key: Key, resource: Json | None) -> None:
        """Look at the certificates of a cluster soon, if one that is shown was changed by somebody else."""
        wrote = self._wrote.get(key) if resource else self._wrote.pop(key, None)
        if wrote != (_digest(resource) if resource else None):
            cluster = resource["spec"]["clusterName"] if resource else key[1].partition(".")[0]
            self._queue.add_after((key[0], cluster), SOON_S)

    async def run(self) -> None:
        """Show certificates until cancelled, one cluster after another."""
        while True:
            key = await self._queue.take()
            if not self._waited_for:
                await self._give_way()
                self._waited_for = len(self._queue) + 1
            self._waited_for -= 1
            try:
                await self._show(key)
            except Exception as error:  # noqa: BLE001 - one cluster's trouble is not the others'
                log.warning("certificates not shown", cluster="/".join(key), reason=str(error))
                self._queue.done(key, failed=True)
            else:
                self._queue.done(key, again_after=self._first_end(key))

    async def _give_way(self) -> None:
        """Wait for operations that move, once for all clusters that are due by then."""
        waited = 0
        while waited < min(STANDBACK_S * sum(map(_is_moving, self._clusters().values())), PATIENCE_S):
            await asyncio.sleep(1)
            waited += 1

    async def _show(self, key: Key) -> None:
        cluster, found = self._clusters().get(key), self._found(key)
        try:
            wanted = await self._wanted(key) if cluster else {}
        except (UnansweredError, NotRunningError):
            for resource in found.values():
                await self._tell_ended(resource)
            raise
        for gone in found.keys() - wanted.keys():
            await self._remove(gone)
        for each, (spec, status) in wanted.items():
            resource = await self._shown_as(each, spec, found.get(each), cluster or {})
            written = await self._resources.tell(resource, status(resource))
            self._wrote[each] = _digest({"spec": spec, "status": written})

    async def _wanted(self, key: Key) -> dict[Key, tuple[Json, Callable[[Json], CertificateStatus]]]:
        """Return the specs that there are to be, with what makes a status of each."""
        answer = await self._workflows.known(*key)
        return {
            (key[0], f"{key[1]}.{held.machine.name}.{held.kind.name}"): (
                _spec(answer, held).model_dump(mode="json", by_alias=True),
                partial(_status, answer, held.machine.name, issued),
            )
            for held, issued in _held(answer)
        }

    async def _shown_as(self, key: Key, spec: Json, before: Json | None, cluster: Json) -> Json:
        """Return a resource with a spec, made anew when there is none or another: no field of it changes."""
        if before and before["spec"] == spec:
            return before
        if before:
            await self._remove(key)
        return await self._resources.show(key, spec, cluster)

    def _found(self, key: Key) -> dict[Key, Json]:
        return {each: item for each, item in self._shown().items() if _is_of(item, key)}

    def _first_end(self, key: Key) -> float | None:
        """Return in how many seconds the first that is shown as valid ends, None when none is."""
        ends = [
            (status.not_after - datetime.now(UTC)).total_seconds()
            for status in map(_status_of, self._found(key).values())
            if status.not_after and status.conditions and status.conditions[0].status == "True"
        ]
        return max(min(ends), 0) + SOON_S if ends else None

    async def _tell_ended(self, resource: Json) -> None:
        """Say of a certificate that it has ended, if it has; by what was shown of it, as nobody can be asked."""
        status = _status_of(resource)
        if status.not_after and status.not_after <= datetime.now(UTC):
            verdict = ready(resource, "False", Reason.EXPIRED, status.reason)
            await self._resources.tell(resource, status.model_copy(update={"conditions": [verdict]}))

    async def _remove(self, key: Key) -> None:
        self._wrote.pop(key, None)
        await self._resources.remove(key)


def is_shown(key: Key, resource: Json | None) -> bool:
    """Say whether a ``Certificate`` is one that is only shown: by its name, and by what it says."""
    return "." in key[1] or bool(resource and resource["spec"].get("machine"))


def _is_of(resource: Json, cluster: Key) -> bool:
    key = (resource["metadata"]["namespace"], resource["spec"]["clusterName"])
    return key == cluster and bool(resource["spec"].get("machine"))


def _is_busy(cluster: Json) -> bool:
    return bool((cluster.get("status") or {}).get("operation"))


def _is_moving(cluster: Json) -> bool:
    """Say whether an operation is under way that neither is paused nor waits to try a step again."""
    operation = (cluster.get("status") or {}).get("operation") or {}
    paused = condition_of(cluster, ConditionType.PAUSED).get("status") == "True"
    return bool(operation) and not paused and not operation.get("nextRetryTime")


def _told(resource: Json) -> object:
    """Return what of a cluster's status changes with its certificates."""
    status = resource.get("status") or {}
    ended = [each.get("finishedAt") for each in status.get("recentOperations") or []]
    valid = condition_of(resource, ConditionType.CERTIFICATES_VALID)
    return (resource["metadata"]["uid"], status.get("certificatesExpireAt"), ended, valid.get("reason"))


def _held(answer: CertificatesAnswer) -> Iterator[tuple[Held, Issued]]:
    """Yield what is known to have been issued."""
    for held in certificates(Known(answer.context, answer.issued, answer.unrenewed)):
        if held.issued:
            yield held, held.issued


def _spec(answer: CertificatesAnswer, held: Held) -> CertificateSpec:
    cluster, kind, machine = answer.context, held.kind, held.machine
    return CertificateSpec(
        cluster_name=cluster.name,
        component=kind.name,
        machine=machine.name,
        common_name=kind.subject(machine.name),
        organizations=[kind.organization] if kind.organization else [],
        dns_names=kind.dns_names(cluster, machine),
        ip_addresses=kind.ip_addresses(cluster, machine),
        ttl_hours=kind.ttl_hours(cluster.spec),
        allow_bare_domains=True,
    )


def _status(answer: CertificatesAnswer, machine: str, issued: Issued, resource: Json) -> CertificateStatus:
    ended, why = issued.expires_at <= datetime.now(UTC), answer.unrenewed.get(machine, "")
    reason = Reason.EXPIRED if ended else Reason.NOT_RENEWED if why else Reason.ISSUED
    return CertificateStatus(
        observed_generation=resource["metadata"]["generation"],
        conditions=[ready(resource, "False" if ended else "True", reason, why or issued.reason)],
        serial_number=issued.serial,
        not_before=issued.starts_at,
        not_after=issued.expires_at,
        renewal_time=answer.rotate_at,
        reason=issued.reason,
    )


def _status_of(resource: Json) -> CertificateStatus:
    return CertificateStatus.model_validate(resource.get("status") or {})


def _digest(resource: Json) -> str:
    return json.dumps([resource["spec"], resource.get("status")], sort_keys=True)
