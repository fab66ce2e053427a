"""Error codes: whose fault an error is, whether it is tried again, what to do next."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """Stable names; programs and alerts may match on them. Their meaning is in ``ERRORS``."""

    INVALID_SPEC = "InvalidSpec"
    UNKNOWN_RELEASE = "UnknownRelease"
    QUOTA_EXCEEDED = "QuotaExceeded"
    CONFIGURATION_BROKEN = "ConfigurationBroken"
    NAME_CONFLICT = "NameConflict"
    CLUSTER_COMPLETE = "ClusterComplete"
    CLUSTER_NOT_READY = "ClusterNotReady"
    MANAGED_BY_RESOURCE = "ManagedByResource"
    BINARIES_MISSING = "BinariesMissing"
    CAPACITY = "Capacity"
    DISK_FULL = "DiskFull"
    ADDRESS_IN_USE = "AddressInUse"
    VAULT_SEALED = "VaultSealed"
    VAULT_UNAVAILABLE = "VaultUnavailable"
    VAULT_DENIED = "VaultDenied"
    PROVIDER_UNAVAILABLE = "ProviderUnavailable"
    HYPERVISOR_REFUSED = "HypervisorRefused"
    WORKER_MISSING = "WorkerMissing"
    MACHINE_FAILED = "MachineFailed"
    MACHINE_NOT_READY = "MachineNotReady"
    VOLUME_LOST = "VolumeLost"
    HOST_API_UNAVAILABLE = "HostApiUnavailable"
    HOST_API_DENIED = "HostApiDenied"
    API_NOT_READY = "ApiNotReady"
    API_DENIED = "ApiDenied"
    CERTIFICATE_NOT_SERVED = "CertificateNotServed"
    NODES_NOT_READY = "NodesNotReady"
    NODE_NOT_DRAINED = "NodeNotDrained"
    VERIFICATION_FAILED = "VerificationFailed"
    CLUSTER_DELETED = "ClusterDeleted"
    NOT_GONE = "NotGone"
    INTERNAL = "Internal"


class Fault(StrEnum):
    """Whose fault an error is."""

    CONFIGURATION = "configuration"
    QUOTA = "quota"
    CREDENTIALS = "credentials"
    CAPACITY = "capacity"
    OPERATOR = "operator"
    PROVIDER = "provider"
    OURS = "ours"


class ErrorInfo:
    """What an error code means.

    ``retryable`` says whether the step is tried again by itself; ``hint`` tells a person what to do next.
    """

    __slots__ = ("fault", "hint", "retryable")

    def __init__(self, fault: Fault, hint: str, *, retryable: bool) -> None:
        self.fault, self.hint, self.retryable = fault, hint, retryable


ERRORS: dict[ErrorCode, ErrorInfo] = {
    ErrorCode.INVALID_SPEC: ErrorInfo(
        Fault.CONFIGURATION, "correct the named fields and apply again", retryable=False
    ),
    ErrorCode.UNKNOWN_RELEASE: ErrorInfo(
        Fault.CONFIGURATION, "choose one of the releases in deploy/releases", retryable=False
    ),
    ErrorCode.QUOTA_EXCEEDED: ErrorInfo(
        Fault.QUOTA, "delete another cluster or ask for more; then `retry`, or start it again", retryable=False
    ),
    ErrorCode.CONFIGURATION_BROKEN: ErrorInfo(
        Fault.OPERATOR, "correct what is named; it goes on by itself", retryable=True
    ),
    ErrorCode.NAME_CONFLICT: ErrorInfo(Fault.CONFIGURATION, "choose another name or namespace", retryable=False),
    ErrorCode.CLUSTER_COMPLETE: ErrorInfo(
        Fault.CONFIGURATION,
        "a cancel never undoes a living cluster: `delete` deletes it; an adoption goes on with `retry`",
        retryable=False,
    ),
    ErrorCode.CLUSTER_NOT_READY: ErrorInfo(
        Fault.CONFIGURATION, "apply the cluster, or wait until it is made; it goes on by itself", retryable=True
    ),
    ErrorCode.MANAGED_BY_RESOURCE: ErrorInfo(
        Fault.CONFIGURATION, "change the resource with kubectl", retryable=False
    ),
    ErrorCode.BINARIES_MISSING: ErrorInfo(
        Fault.OPERATOR,
        "run `just binaries RELEASE` on the machine of the worker, or `just node-image RELEASE` on the "
        "hypervisor, which has to reach the URLs that its releases name",
        retryable=True,
    ),
    ErrorCode.CAPACITY: ErrorInfo(Fault.CAPACITY, "free some, or ask for less", retryable=True),
    ErrorCode.DISK_FULL: ErrorInfo(
        Fault.OPERATOR, "free space on the named disk; the step goes on by itself", retryable=True
    ),
    ErrorCode.ADDRESS_IN_USE: ErrorInfo(
        Fault.OPERATOR, "end the process that holds the address; the step goes on by itself", retryable=True
    ),
    ErrorCode.VAULT_SEALED: ErrorInfo(Fault.OPERATOR, "unseal Vault; the step goes on by itself", retryable=True),
    ErrorCode.VAULT_UNAVAILABLE: ErrorInfo(
        Fault.OPERATOR, "look at Vault's process and log; the step goes on by itself", retryable=True
    ),
    ErrorCode.VAULT_DENIED: ErrorInfo(
        Fault.CREDENTIALS,
        "compare Vault's policies and roles with deploy/chart/vault.sh, and what the worker logs in with: a "
        "service account or an AppRole's file; `just up` renews what the local stack has",
        retryable=True,
    ),
    ErrorCode.PROVIDER_UNAVAILABLE: ErrorInfo(
        Fault.PROVIDER, "look at the provider's process and log; the step goes on by itself", retryable=True
    ),
    ErrorCode.HYPERVISOR_REFUSED: ErrorInfo(Fault.OPERATOR, "do what is named, then ask again", retryable=False),
    ErrorCode.WORKER_MISSING: ErrorInfo(
        Fault.OPERATOR,
        "start a worker for the queue, or another one if all are busy; the step goes on by itself",
        retryable=True,
    ),
    ErrorCode.MACHINE_FAILED: ErrorInfo(
        Fault.OURS, "read the machine's log: g8s logs NAME MACHINE", retryable=True
    ),
    ErrorCode.MACHINE_NOT_READY: ErrorInfo(
        Fault.PROVIDER, "wait, or read the log: g8s logs NAME MACHINE", retryable=True
    ),
    ErrorCode.VOLUME_LOST: ErrorInfo(
        Fault.OPERATOR,
        "put the named volume back, or delete the cluster: only a backup of etcd brings its data back",
        retryable=False,
    ),
    ErrorCode.HOST_API_UNAVAILABLE: ErrorInfo(
        Fault.OPERATOR, "look at the host cluster's API server; reports go on by themselves", retryable=True
    ),
    ErrorCode.HOST_API_DENIED: ErrorInfo(
        Fault.CREDENTIALS, "compare our rights in the host cluster with deploy/chart/files", retryable=True
    ),
    ErrorCode.API_NOT_READY: ErrorInfo(
        Fault.OURS, "read the API server's log: g8s logs NAME MACHINE kube-apiserver", retryable=True
    ),
    ErrorCode.API_DENIED: ErrorInfo(
        Fault.CREDENTIALS, "look at the cluster's RBAC; someone may have changed it", retryable=True
    ),
    ErrorCode.CERTIFICATE_NOT_SERVED: ErrorInfo(
        Fault.OURS,
        "read the component's log (g8s logs NAME MACHINE); replacing the machine gives it new certificates too",
        retryable=True,
    ),
    ErrorCode.NODES_NOT_READY: ErrorInfo(
        Fault.OURS, "read the kubelet's log: g8s logs NAME MACHINE kubelet", retryable=True
    ),
    ErrorCode.NODE_NOT_DRAINED: ErrorInfo(
        Fault.CONFIGURATION,
        "look at the pods and their PodDisruptionBudgets; after eight attempts the machine goes all the same",
        retryable=True,
    ),
    ErrorCode.VERIFICATION_FAILED: ErrorInfo(Fault.OURS, "look at the named object with kubectl", retryable=True),
    ErrorCode.CLUSTER_DELETED: ErrorInfo(
        Fault.CONFIGURATION,
        "let `delete` come to its end, then start a cluster of the same name again",
        retryable=False,
    ),
    ErrorCode.NOT_GONE: ErrorInfo(Fault.PROVIDER, "see what is left: g8s leftovers", retryable=True),
    ErrorCode.INTERNAL: ErrorInfo(Fault.OURS, "report it with the workflow's history", retryable=True),
}
