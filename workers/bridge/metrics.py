"""How clusters are, as metrics: what their resources tell, for alerts that know whose move it is."""

from collections.abc import Mapping
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric

from api.conditions import ConditionType
from api.errors import ERRORS, ErrorCode
from api.status import Phase
from workers.bridge.kit.conditions import condition_of
from workers.bridge.kit.kube import Json
from workers.bridge.kit.reflector import Key

LABELS = ("cluster_namespace", "cluster_name")


def cluster_metrics(resources: Mapping[Key, Json]) -> list[Metric]:
    """Return the metrics of all clusters that there are resources of."""
    phase = _gauge("phase", "1 for a cluster's phase.", "phase")
    available = _gauge("available", "1 while a cluster's API answers, 0 while it does not.")
    unknown = _gauge("available_unknown", "1 while nobody knows whether a cluster's API answers.")
    failed = _gauge("failed", "1 for a cluster that has failed, by whose fault it is.", "fault", "code")
    expire = _gauge("certificates_expire_timestamp_seconds", "When the first known certificate of a cluster ends.")
    for key, resource in resources.items():
        status = resource.get("status") or {}
        if status.get("phase"):
            phase.add_metric([*key, status["phase"]], 1)
        if status.get("phase") == Phase.FAILED:
            failed.add_metric([*key, *_cause(resource)], 1)
        if answers := condition_of(resource, ConditionType.AVAILABLE).get("status"):
            unknown.add_metric(key, float(answers == "Unknown"))
        if answers in {"True", "False"}:
            available.add_metric(key, float(answers == "True"))
        if end := status.get("certificatesExpireAt"):
            expire.add_metric(key, datetime.fromisoformat(end).timestamp())
    return [phase, available, unknown, failed, expire]


def _gauge(name: str, told: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"giantnetes_bridge_cluster_{name}", told, labels=[*LABELS, *labels])


def _cause(resource: Json) -> tuple[str, str]:
    """Return whose fault it is that a cluster has failed, and the error code; both empty when no error is told.

    The code is the reason of ``Degraded``, or what its message begins with when nothing was tried.
    """
    degraded = condition_of(resource, ConditionType.DEGRADED)
    told = (degraded.get("reason", ""), degraded.get("message", "").partition(":")[0])
    code = next((ErrorCode(word) for word in told if word in ERRORS), None)
    return (ERRORS[code].fault, code) if code else ("", "")
