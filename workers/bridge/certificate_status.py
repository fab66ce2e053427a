"""What the status of a ``Certificate`` says. Pure but for the clock."""

from datetime import UTC, datetime

from api.certificate import CertificateSpec, CertificateStatus
from api.conditions import READY, Reason
from api.resource import Condition
from contracts.issuing import HeldCertificate
from planning.issuing import renewal_time
from workers.bridge.kit.conditions import condition
from workers.bridge.kit.kube import Json


def ready(resource: Json, status: str, reason: str, message: str) -> Condition:
    """Return the condition ``Ready`` of a certificate."""
    return Condition.model_validate(condition(resource, READY, status, reason, message))


def issued(resource: Json, spec: CertificateSpec, held: HeldCertificate) -> CertificateStatus:
    """Return what is said of a certificate as its Secret has it."""
    ended = held.not_after <= datetime.now(UTC)
    verdict = ("False", Reason.EXPIRED) if ended else ("True", Reason.ISSUED)
    return CertificateStatus(
        observed_generation=resource["metadata"]["generation"],
        conditions=[ready(resource, *verdict, held.reason)],
        serial_number=held.serial,
        not_before=held.not_before,
        not_after=held.not_after,
        renewal_time=renewal_time(spec, held.not_after),
        reason=held.reason,
        secret_name=resource["metadata"]["name"],
    )


def failed(resource: Json, reason: str, message: str) -> CertificateStatus:
    """Return why there is nothing new; a certificate that is there is as good as it was."""
    before = CertificateStatus.model_validate(resource.get("status") or {})
    valid = before.not_after is not None and before.not_after > datetime.now(UTC)
    status = "True" if valid and reason == Reason.ISSUING else "False"
    generation = before.observed_generation if reason == Reason.ISSUING else resource["metadata"]["generation"]
    update = {"conditions": [ready(resource, status, reason, message)], "observed_generation": generation}
    return before.model_copy(update=update)
