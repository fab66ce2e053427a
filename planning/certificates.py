"""Which certificates a cluster has, which of them are due and why, and the plan that renews them.

All of a machine are renewed together, at one time of day, every so many days: a chain of rules gives the first
reason that there is.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from hashlib import sha256
from typing import NamedTuple

from api.cluster import ClusterSpec
from contracts.certificates import Certificate, held_by, wanted
from contracts.context import ClusterContext
from contracts.machines import MachinePlan, has_hypervisors
from contracts.plan import Plan, Step, StepKind
from contracts.vault import Authority, Issued
from planning.create import CONTROL_PLANE, machine_groups

SPREAD = timedelta(hours=1)
"""Clusters with the same time of day begin within so long after it, each at a moment of its own."""

TRIES = 17
"""How often Vault is asked, which takes ten minutes: while a rotation waits, no machine is repaired."""

DAY = timedelta(days=1)


class Known(NamedTuple):
    """A cluster, what each machine was given, and which could not be given what they should have been."""

    cluster: ClusterContext
    issued: Mapping[str, Mapping[str, Issued]]
    unrenewed: Collection[str] = ()


class Held(NamedTuple):
    """A certificate of a machine as it is planned, and as it was issued last, if that is known."""

    machine: MachinePlan
    kind: Certificate
    issued: Issued | None


class Due(NamedTuple):
    """A certificate that is to be renewed, and why."""

    machine: str
    certificate: str
    reason: str


def rotation_time(spec: ClusterSpec, cluster_id: str, issued_at: datetime) -> datetime:
    """Return when a certificate that was issued then is renewed: within so many days as the spec says.

    It is always the same time of day, UTC, so those that one rotation issued are due at one moment again.
    """
    start = datetime.combine(issued_at.astimezone(UTC), time.fromisoformat(spec.certificates.rotation_time), UTC)
    share = int.from_bytes(sha256(cluster_id.encode()).digest()[:4]) / 2**32
    today = start + SPREAD * share
    # The jitter may lead past midnight, so today's may be that of the day before.
    following = next(at for at in (today - DAY, today, today + DAY) if at > issued_at)
    return following + DAY * (spec.certificates.rotation_interval_days - 1)


def certificates(known: Known) -> Iterator[Held]:
    """Yield every certificate whose key is on a machine of the cluster."""
    cluster = known.cluster
    for machine in (machine for group in machine_groups(cluster.spec).values() for machine in group):
        for kind in held_by(machine.role, cluster.spec.provider):
            yield Held(machine, kind, known.issued.get(machine.name, {}).get(kind.name))


def due(known: Known, now: datetime, *, asked: bool = False) -> list[Due]:
    """Return what is to be renewed at ``now``, each with the first reason of the chain."""
    cluster = known.cluster
    keys = _authority_keys(known)

    rules: tuple[Callable[[Held, Issued], str], ...] = (
        lambda held, has: "" if has.wanted == wanted(held.kind, cluster, held.machine) else "the spec changed",
        lambda held, has: "the CA changed" if has.authority_key not in {"", keys.get(held.kind.authority)} else "",
        lambda _, has: "it has ended" if has.expires_at <= now else "",
        lambda _, has: "its day is over" if _time_has_come(cluster, has, now) else "",
        lambda held, _: "it could not be renewed before" if held.machine.name in known.unrenewed else "",
        lambda _, __: "somebody asked for it" if asked else "",
    )

    def reason(held: Held) -> str:
        if held.issued is None:
            return "nothing is known of it"
        return next(filter(None, (rule(held, held.issued) for rule in rules)), "")

    found = ((held, reason(held)) for held in certificates(known))
    return [Due(held.machine.name, held.kind.name, why) for held, why in found if why]


def _time_has_come(cluster: ClusterContext, issued: Issued, now: datetime) -> bool:
    return rotation_time(cluster.spec, cluster.cluster_id, issued.issued_at) <= now


def _authority_keys(known: Known) -> dict[Authority, str]:
    """Return the key with which each CA signed last: another than before when somebody replaced the CA."""
    issued = ((held.kind.authority, held.issued) for held in certificates(known) if held.issued)
    signed = sorted((each for each in issued if each[1].authority_key), key=lambda each: each[1].issued_at)
    return {authority: leaf.authority_key for authority, leaf in signed}


def plan_rotation(known: Known, now: datetime, *, asked: bool = False) -> Plan:
    """Return the plan that renews what is due, without steps when nothing is; and when it will be due again.

    Control plane machines one after another, nodes beside them.
    """
    cluster, found = known.cluster, due(known, now, asked=asked)
    renewals: dict[str, list[str]] = {}
    why: dict[str, list[str]] = {}
    for item in found:
        renewals.setdefault(item.machine, []).append(item.certificate)
        why.setdefault(item.machine, []).append(item.reason)
    groups = machine_groups(cluster.spec)
    reasons = ", ".join(dict.fromkeys(item.reason for item in found))
    return Plan(
        operation="RotateCertificates",
        reason=f"{len(found)} certificates of {len(renewals)} machines: {reasons}" if found else "nothing is due",
        groups=groups | {_alone(slot): [slot] for slot in groups[CONTROL_PLANE]},
        steps=list(_steps(cluster.spec, groups, set(renewals))) if found else [],
        renewals=renewals,
        reasons={machine: ", ".join(dict.fromkeys(each)) for machine, each in why.items()},
        rotate_at=_next_rotation(known, found, now),
    )


def _next_rotation(known: Known, renewed: list[Due], now: datetime) -> datetime:
    """Return when the first certificate is due once these are renewed: not all were issued on the same day."""
    cluster, new = known.cluster, {(item.machine, item.certificate) for item in renewed}
    kept = [
        held.issued.issued_at
        for held in certificates(known)
        if held.issued and (held.machine.name, held.kind.name) not in new
    ]
    return min(rotation_time(cluster.spec, cluster.cluster_id, at) for at in [now, *kept])


def _steps(spec: ClusterSpec, groups: dict[str, list[MachinePlan]], renewed: set[str]) -> Iterator[Step]:
    first = []
    if has_hypervisors(spec.provider):
        yield Step(name="locate", title="Find the hypervisors", kind=StepKind.LOCATE, max_attempts=TRIES)
        first = ["locate"]
    title = "See that certificates can be issued"
    yield Step(name="authorities", title=title, kind=StepKind.AUTHORITIES, needs=first, max_attempts=TRIES)
    before = "authorities"
    for slot in groups[CONTROL_PLANE]:
        if slot.name in renewed:
            yield _renew(f"renew-{slot.name}", f"Renew certificates of {slot.name}", before, _alone(slot))
            before = f"renew-{slot.name}"
    for pool, machines in groups.items():
        if pool != CONTROL_PLANE and renewed & {machine.name for machine in machines}:
            yield _renew(f"renew-pool-{pool}", f"Renew certificates of pool {pool}", "authorities", pool)


def _renew(name: str, title: str, needs: str, group: str) -> Step:
    return Step(name=name, title=title, kind=StepKind.RENEW, needs=[needs], group=group, max_attempts=TRIES)


def _alone(slot: MachinePlan) -> str:
    """Return the group of one control plane machine; no pool has a name with a slash."""
    return f"{CONTROL_PLANE}/{slot.name}"
