"""What to do about a cluster: the chain of checks that needs a look-up, and the plan."""

from collections.abc import Mapping
from typing import NamedTuple

from api.errors import ErrorCode
from api.release import Release
from api.rules import faults
from contracts.errors import StepError
from contracts.plan import Plan, PlanRequest
from planning.create import plan_create


class Standing(NamedTuple):
    """What the registry says of a cluster's name: whose it is, and whether a create of it has ever succeeded."""

    owner: str
    complete: bool


def decide(request: PlanRequest, releases: Mapping[str, Release], standing: Standing | None) -> Plan:
    """Return the plan that makes a cluster, or adopts or completes the one that is registered under its name.

    Raises ``StepError`` with code UnknownRelease or InvalidSpec when the spec names what is not there. A
    registered cluster was let in before: a rule that came later must not keep it from being adopted.
    """
    release = releases.get(request.spec.release)
    if release is None:
        known = ", ".join(sorted(releases))
        raise StepError(
            ErrorCode.UNKNOWN_RELEASE,
            f"spec.release: there is no release {request.spec.release}; there are: {known}",
        )
    _check_ingress(request, release)
    if standing is None or standing.owner != request.spec.owner:
        _check_rules(request)
    return plan_create(request.spec, adopting=standing is not None and standing.complete)


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
