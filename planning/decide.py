"""What to do about a cluster: the chain of checks that needs a look-up, and the plan."""

from collections.abc import Mapping, Sequence

from api.errors import ErrorCode
from api.release import Release
from api.rules import faults
from contracts.errors import StepError
from contracts.plan import Plan, PlanRequest
from planning.create import plan_create
from planning.quotas import Holding, Quotas, check_quota, is_counted


def decide(
    request: PlanRequest, releases: Mapping[str, Release], quotas: Quotas, registered: Sequence[Holding]
) -> Plan:
    """Return the plan that makes a cluster, or adopts or completes it when it is among those ``registered``.

    Raises ``StepError`` with code UnknownRelease or InvalidSpec when the spec names what is not there, and
    QuotaExceeded. A registered cluster was let in before: a rule that came later, or a quota that was lowered,
    must not keep it from being adopted.
    """
    release = releases.get(request.spec.release)
    if release is None:
        known = ", ".join(sorted(releases))
        raise StepError(
            ErrorCode.UNKNOWN_RELEASE,
            f"spec.release: there is no release {request.spec.release}; there are: {known}",
        )
    _check_ingress(request, release)
    if not is_counted(request.spec, registered):
        _check_rules(request)
        check_quota(request.spec, registered, quotas)
    return plan_create(request.spec, adopting=any(holding.own and holding.complete for holding in registered))


def _check_rules(request: PlanRequest) -> None:
    if found := faults(request.spec):
        raise StepError(ErrorCode.INVALID_SPEC, "; ".join(found))


def _check_ingress(request: PlanRequest, release: Release) -> None:
    ingress = request.spec.ingress
    versions = [image.version for image in release.ingress]
    if ingress and ingress.version not in versions:
        raise StepError(
            ErrorCode.INVALID_SPEC,
            f"spec.ingress.version: release {release.name} has {', '.join(versions)}, not {ingress.version}",
        )
