"""Conditions of our resources and their reasons: stable names that programs match on."""

from enum import StrEnum


class ConditionType(StrEnum):
    """What is observed of a cluster. ``Accepted`` is the bridge's; the cluster's workflow has all others told."""

    ACCEPTED = "Accepted"
    AVAILABLE = "Available"
    CONTROL_PLANE_READY = "ControlPlaneReady"
    NODES_READY = "NodesReady"
    CERTIFICATES_VALID = "CertificatesValid"
    UP_TO_DATE = "UpToDate"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    DELETING = "Deleting"
    PAUSED = "Paused"


READY = "Ready"
"""The one condition of a ``Certificate``: there is one that is valid."""

REPORTED = frozenset(ConditionType) - {ConditionType.ACCEPTED}
"""What the workflow has told. When it tells nothing for long, the bridge makes ``Available`` unknown."""


class Reason(StrEnum):
    """Why a condition is as it is. ``Progressing`` has the operation's type, ``Degraded`` an error's code too."""

    ACCEPTED = "Accepted"
    INVALID_SPEC = "InvalidSpec"
    REFUSED = "Refused"
    UNKNOWN_OPERATION = "UnknownOperation"
    DELETION_NOT_CONFIRMED = "DeletionNotConfirmed"
    CANNOT_START = "CannotStart"
    API_ANSWERS = "ApiAnswers"
    API_SILENT = "ApiSilent"
    NOT_CREATED = "NotCreated"
    NOT_PROBED = "NotProbed"
    NOT_REPORTED = "NotReported"
    ALL_READY = "AllReady"
    SOME_NOT_READY = "SomeNotReady"
    VALID = "Valid"
    EXPIRED = "Expired"
    NOT_RENEWED = "NotRenewed"
    ENDS_SOON = "EndsSoon"
    LATEST = "Latest"
    CHANGE_PENDING = "ChangePending"
    IDLE = "Idle"
    HEALTHY = "Healthy"
    MACHINES_NOT_WELL = "MachinesNotWell"
    WAITING = "Waiting"
    DELETION_ASKED_FOR = "DeletionAskedFor"
    NOT_DELETING = "NotDeleting"
    PAUSED = "Paused"
    NOT_PAUSED = "NotPaused"
    ISSUED = "Issued"
    ISSUING = "Issuing"
    CLUSTER_NOT_FOUND = "ClusterNotFound"
