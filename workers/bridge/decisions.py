"""What the bridge does about a ``Cluster`` resource as it is now. Pure: it compares, and never trusts an event.

The resource is taken as the API gives it, because it may not fit the models: a definition may have changed since.
"""

from dataclasses import dataclass

from api.cluster import API_VERSION
from api.conditions import ConditionType, Reason
from api.resource import ABANDON, CONFIRM_DELETION, FINALIZER, OPERATION, REQUESTED_BY
from api.rules import faults
from contracts.workflows import ClusterInput
from workers.bridge.kit.conditions import MESSAGE_LENGTH, condition_of
from workers.bridge.kit.kube import Json
from workers.bridge.kit.validation import InvalidError, validated

ASKER_LENGTH = 256
MACHINE_LENGTH = 63


@dataclass(frozen=True)
class Nothing:
    """All is as it is to be."""


@dataclass(frozen=True)
class AddFinalizer:
    """Keep the resource until nothing of its cluster is left."""


@dataclass(frozen=True)
class Refuse:
    """Say in the condition ``Accepted`` why nothing is done, and what to do."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Apply:
    """Tell the cluster's workflow the spec, starting it if it doesn't run."""

    start: ClusterInput


@dataclass(frozen=True)
class Delete:
    """Tell the workflow to delete the cluster; started if it doesn't run, as something of it may be there."""

    start: ClusterInput | None


@dataclass(frozen=True)
class Abandon:
    """Tell the workflow to let the resource go and leave the cluster as it is."""


@dataclass(frozen=True)
class Operate:
    """Send an update that the annotation asks for; then the annotation is taken away."""

    annotation: str
    update: str
    machine: str = ""


Wish = Nothing | AddFinalizer | Refuse | Apply | Delete | Abandon | Operate

_UPDATES = {name: name.replace("-", "_") for name in ("retry", "cancel", "pause", "resume", "rotate-certificates")}


def decide(resource: Json) -> Wish:
    """Return the first thing that isn't done yet."""
    metadata = resource["metadata"]
    held = FINALIZER in (metadata.get("finalizers") or [])
    if metadata.get("deletionTimestamp"):
        return _decide_end(resource) if held else Nothing()
    if not held:
        return AddFinalizer()
    start, operation = start_of(resource), _operation(resource)
    if operation and (resource.get("status") or {}).get("clusterId"):
        return operation  # whatever is thought of the spec
    if isinstance(start, Refuse):
        return start
    return operation or Nothing() if accepted(resource) else Apply(start)


def accepted(resource: Json) -> bool:
    """Say whether the workflow has taken up this generation of the spec."""
    condition = condition_of(resource, ConditionType.ACCEPTED)
    observed = condition.get("observedGeneration", 0)
    return condition.get("status") == "True" and observed == resource["metadata"]["generation"]


def start_of(resource: Json) -> ClusterInput | Refuse:
    """Return what the workflow is started with, or every faulty field."""
    metadata = resource["metadata"]
    document = {
        "apiVersion": API_VERSION,
        "kind": "Cluster",
        "metadata": {key: metadata[key] for key in ("name", "namespace", "uid", "generation")},
        "spec": resource.get("spec") or {},
        "resource": True,
        "requestedBy": asker(resource),
    }
    try:
        start = validated(ClusterInput, document)
    except InvalidError as error:
        return _invalid(error.faults)
    known = bool((resource.get("status") or {}).get("clusterId"))
    found = [] if known else faults(start.spec)
    return _invalid(found) if found else start


def asker(resource: Json) -> str:
    """Return who changed the resource last, as far as the host cluster tells."""
    return str(_annotations(resource).get(REQUESTED_BY, ""))[:ASKER_LENGTH]


def _annotations(resource: Json) -> dict[str, str]:
    return resource["metadata"].get("annotations") or {}


def _decide_end(resource: Json) -> Wish:
    metadata, annotations = resource["metadata"], _annotations(resource)
    if annotations.get(ABANDON) == metadata["uid"]:
        return Abandon()
    if annotations.get(CONFIRM_DELETION) == metadata["uid"]:
        if condition_of(resource, ConditionType.DELETING).get("status") == "True":
            return _operation(resource) or Nothing()
        start = start_of(resource)
        return Delete(None if isinstance(start, Refuse) else start)
    if operation := _operation(resource):
        return operation
    command = f"kubectl --namespace {metadata['namespace']} annotate cluster {metadata['name']} --overwrite"
    return Refuse(
        Reason.DELETION_NOT_CONFIRMED,
        f"nothing is deleted yet: `{command} {CONFIRM_DELETION}={metadata['uid']}` deletes the cluster, "
        f"`{command} {ABANDON}={metadata['uid']}` lets it live on without this resource",
    )


def _invalid(found: list[str]) -> Refuse:
    return Refuse(Reason.INVALID_SPEC, "; ".join(found)[:MESSAGE_LENGTH])


def _operation(resource: Json) -> Operate | Refuse | None:
    """Return what the annotation asks for, None when there is none."""
    wanted = _annotations(resource).get(OPERATION)
    if wanted is None:
        return None
    verb, _, machine = wanted.partition("=")
    if verb == "replace-machine" and 0 < len(machine) <= MACHINE_LENGTH:
        return Operate(wanted, "replace_machine", machine)
    if wanted in _UPDATES:
        return Operate(wanted, _UPDATES[wanted])
    choices = ", ".join([*sorted(_UPDATES), "replace-machine=NAME"])
    return Refuse(Reason.UNKNOWN_OPERATION, f"{OPERATION} is {wanted[:100]!r}: choose one of {choices}")
