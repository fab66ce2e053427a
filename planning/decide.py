"""What to do about a cluster: the chain of checks that needs a look-up, and the plan."""

from collections.abc import Iterable, Mapping

from api.cluster import ClusterSpec
from api.errors import ErrorCode
from api.release import Release
from contracts.errors import StepError
from contracts.plan import Plan, PlanRequest
from planning.create import plan_create
from planning.delete import plan_delete
from planning.quotas import Quotas, check_quota


def decide(
    request: PlanRequest, releases: Mapping[str, Release], quotas: Quotas, others: Iterable[ClusterSpec]
) -> Plan:
    """Return the plan for a cluster, beside ``others``, the specs of all other clusters.

    Raises ``StepError`` with code UnknownRelease or InvalidSpec when the spec names what is not there, and
    QuotaExceeded. A deletion needs no release: a cluster must be deletable after its release file went.
    """
    if request.ends:
        return plan_delete(undoing=not request.deleting)
    release = releases.get(request.spec.release)
    if release is None:
        known = ", ".join(sorted(releases))
        raise StepError(
            ErrorCode.UNKNOWN_RELEASE,
            f"spec.release: there is no release {request.spec.release}; there are: {known}",
        )
    _check_ingress(request, release)
    check_quota(request.spec, others, quotas)
    return plan_create(request.spec)


def _check_ingress(request: PlanRequest, release: Release) -> None:
    ingress = request.spec.ingress
    versions = [image.version for image in release.ingress]
    if ingress and ingress.version not in versions:
        raise StepError(
            ErrorCode.INVALID_SPEC,
            f"spec.ingress.version: release {release.name} has {', '.join(versions)}, not {ingress.version}",
        )
