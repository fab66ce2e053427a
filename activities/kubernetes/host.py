"""The host cluster, which has the ``Cluster`` resources: their status, and their end."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import structlog
from pydantic import ValidationError
from temporalio import activity

from activities.kubernetes.client import APPLY, FIELD_MANAGER, MERGE_PATCH, Answer, Json, KubernetesClient
from activities.kubernetes.connection import HostApi, TellEnd
from activities.kubernetes.issuing import CertificateSecrets
from api.cluster import API_VERSION
from api.conditions import REPORTED
from api.errors import ErrorCode
from api.resource import FINALIZER, ClusterResourceStatus
from contracts import activities as names
from contracts.errors import StepError
from contracts.reporting import ReportAnswer, ResourceEvent, ResourceReference, StatusReport
from planning.reporting import resource_status, tells_the_same

log = structlog.get_logger(__name__)

TRIES = 5
"""How often a resource is read again that changed under a write."""

REMEMBERED = 1000
"""Resources whose status is remembered as it was written last: some KiB each."""

GREATEST_SEQUENCE = 1 << 53
"""A number beyond it was written by hand: no clock gives it for a long time. It counts as none."""


class HostActivities:
    """Steps on resources in the host cluster: idempotent. All raise ``StepError`` only."""

    def __init__(self, host: HostApi) -> None:
        self._host = host
        self._written = _Written()

    @activity.defn(name=names.REPORT_STATUS)
    def report_status(self, report: StatusReport) -> ReportAnswer:
        """Write the status of a resource, unless that tells nothing new or a later report was written already."""
        client, resource = self._host.client(), report.resource
        for _ in range(TRIES):
            written = self._written.take(resource.uid)
            found = written or _read(client, resource)
            if found is None:
                return ReportAnswer(gone=True)
            before = _status_of(found)
            if before.sequence > report.sequence:
                return ReportAnswer(sequence=before.sequence)
            wanted = resource_status(report, before)
            same = tells_the_same(wanted, before)
            if same and written:
                continue  # only reading it shows whether it is still so
            if not same and not self._write(client, resource, found, wanted):
                continue
            for event in report.events:
                _try_to_record(client, resource, event)
            return ReportAnswer(sequence=report.sequence)
        path = _path(resource)
        raise StepError(ErrorCode.HOST_API_UNAVAILABLE, f"{path} changed {TRIES} times while it was written")

    def _write(
        self, client: KubernetesClient, resource: ResourceReference, found: Json, status: ClusterResourceStatus
    ) -> bool:
        """Apply a status; returns whether the resource was as it was found."""
        path = f"{_path(resource)}/status?fieldManager={FIELD_MANAGER}&force=true"
        told = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        answer = client.ask("PATCH", path, {**_identity(found), "status": told}, APPLY)
        if answer.status in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
            return False
        _check(answer, f"apply the status of {_path(resource)}")
        written = json.loads(answer.body)
        self._written.keep(resource.uid, {**_identity(written), "status": written["status"]})
        return True

    @activity.defn(name=names.RELEASE_RESOURCE)
    def release_resource(self, resource: ResourceReference) -> ReportAnswer:
        """Let a resource go whose cluster is deleted: one that nobody has deleted is deleted first."""
        client, path = self._host.client(), _path(resource)
        for _ in range(TRIES):
            found = _read(client, resource)
            if found is None:
                return ReportAnswer(gone=True)
            metadata = found["metadata"]
            if "deletionTimestamp" not in metadata:
                client.ask("DELETE", path, {"preconditions": {"uid": resource.uid}})
                continue
            kept = [finalizer for finalizer in metadata.get("finalizers", []) if finalizer != FINALIZER]
            change = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": kept}}
            answer = client.ask("PATCH", path, change, MERGE_PATCH)
            if answer.status not in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
                _check(answer, f"take the finalizer from {path}")
                return ReportAnswer()
        raise StepError(ErrorCode.HOST_API_UNAVAILABLE, f"{path} changed {TRIES} times while it was let go")


class _Written:
    """Resources as the API server answered the last write, so that the next one needs no reading before it.

    Each is used once. One that has changed meanwhile refuses what is applied to it, by its resource version: with
    several workers that is every second report or more, which then costs a refusal more than without a memory.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._resources: OrderedDict[str, Json] = OrderedDict()

    def take(self, uid: str) -> Json | None:
        with self._lock:
            return self._resources.pop(uid, None)

    def keep(self, uid: str, resource: Json) -> None:
        with self._lock:
            self._resources[uid] = resource
            if len(self._resources) > REMEMBERED:
                self._resources.popitem(last=False)


def _path(resource: ResourceReference) -> str:
    return f"/apis/{API_VERSION}/namespaces/{resource.namespace}/clusters/{resource.name}"


def _read(client: KubernetesClient, resource: ResourceReference) -> Json | None:
    """Return the resource, None when the one that is meant is not there."""
    answer = client.ask("GET", _path(resource))
    if answer.status == HTTPStatus.NOT_FOUND:
        return None
    _check(answer, f"read {_path(resource)}")
    found: Json = json.loads(answer.body)
    return found if found["metadata"]["uid"] == resource.uid else None


def _check(answer: Answer, doing: str) -> None:
    """Raise ``StepError`` for an answer that is a refusal."""
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise StepError(ErrorCode.HOST_API_DENIED, f"{doing}: {answer.status}")
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise StepError(ErrorCode.HOST_API_UNAVAILABLE, f"{doing}: {answer.status}")
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise StepError(ErrorCode.INTERNAL, f"{doing}: {answer.status}")


def _status_of(found: Json) -> ClusterResourceStatus:
    """Return what was told last; what people made of it by hand may be nothing that fits."""
    try:
        status = ClusterResourceStatus.model_validate(found.get("status") or {})
    except ValidationError:
        return ClusterResourceStatus()
    ours = [condition for condition in status.conditions if condition.type in REPORTED]
    sequence = status.sequence if status.sequence < GREATEST_SEQUENCE else 0
    return status.model_copy(update={"conditions": ours, "sequence": sequence})


def _identity(found: Json) -> Json:
    """Return what an applied configuration begins with, so that it meets the resource only as it was read."""
    metadata = found["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")}
    return {"apiVersion": API_VERSION, "kind": "Cluster", "metadata": kept}


def _try_to_record(client: KubernetesClient, resource: ResourceReference, event: ResourceEvent) -> None:
    """Make an Event, unless that is refused, as in a namespace that is being deleted: nothing may wait for it."""
    try:
        _record(client, resource, event)
    except StepError as error:
        if error.code is ErrorCode.HOST_API_UNAVAILABLE:
            raise
        log.warning("event not made", reason=error.message, event_reason=event.reason)


def _record(client: KubernetesClient, resource: ResourceReference, event: ResourceEvent) -> None:
    """Make an Event (Kubernetes API: Event v1), once."""
    path = f"/api/v1/namespaces/{resource.namespace}/events"
    at = f"{event.at:%Y-%m-%dT%H:%M:%SZ}"
    digest = hashlib.sha256(f"{resource.uid}/{event.key}".encode()).hexdigest()[:16]
    body = {
        "metadata": {"name": f"{resource.name}.{digest}", "namespace": resource.namespace},
        "involvedObject": {"apiVersion": API_VERSION, "kind": "Cluster", **resource.model_dump()},
        "reason": event.reason,
        "message": event.message[:1000],
        "type": "Warning" if event.warning else "Normal",
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
        "source": {"component": FIELD_MANAGER},
    }
    answer = client.ask("POST", path, body)
    if answer.status != HTTPStatus.CONFLICT:
        _check(answer, f"make an event in {path}")


def host_activities(kubeconfig: Path | None, tell_end: TellEnd) -> list[Callable[..., object]]:
    """Return the activities for a worker that polls the queue ``contracts.queues.HOST``.

    ``tell_end`` is told when the client certificate ends that ``kubeconfig`` names.
    """
    api = HostApi(kubeconfig, tell_end)
    host, secrets = HostActivities(api), CertificateSecrets(api)
    return [host.report_status, host.release_resource, secrets.prepare, secrets.store, secrets.remove]
