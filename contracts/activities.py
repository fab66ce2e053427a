"""Names of activities. They are public API: histories and other workers refer to them for ever."""

PLAN_OPERATION = "PlanOperation"
PLAN_REPAIR = "PlanRepair"

CLAIM = "Claim"
FIND_CLAIMS = "FindClaims"
RECORD_COMPLETE = "RecordComplete"
ENSURE_AUTHORITY = "EnsureAuthority"
ENSURE_SECRETS = "EnsureSecrets"
SIGN_CERTIFICATES = "SignCertificates"
SEAL_SECRETS = "SealSecrets"
SIGN_USER_CERTIFICATE = "SignUserCertificate"
FIND_AUTHORITY = "FindAuthority"
SIGN_CLIENT_CERTIFICATE = "SignClientCertificate"
DELETE_AUTHORITIES = "DeleteAuthorities"
DELETE_SECRETS = "DeleteSecrets"
RELEASE_CLAIMS = "ReleaseClaims"
LIST_VAULT_LEFTOVERS = "ListVaultLeftovers"

LIST_HYPERVISORS = "ListHypervisors"
ENROL_HYPERVISOR = "EnrolHypervisor"
MARK_HYPERVISOR = "MarkHypervisor"
FORGET_HYPERVISOR = "ForgetHypervisor"
RECORD_SWEPT = "RecordSwept"
RECORD_SILENCE = "RecordSilence"
FIND_NETWORKS = "FindNetworks"
PLACE_MACHINES = "PlaceMachines"
FIND_PLACEMENTS = "FindPlacements"
VACATE_HYPERVISORS = "VacateHypervisors"

CHECK_HYPERVISOR = "CheckHypervisor"
ENSURE_NETWORK = "EnsureNetwork"

ENSURE_ENDPOINT = "EnsureEndpoint"
BOOT_MACHINE = "BootMachine"
INSTALL_MACHINE = "InstallMachine"
RENEW_KEYS = "RenewKeys"
FIND_CREDENTIALS = "FindCredentials"
OBSERVE_MACHINES = "ObserveMachines"
FENCE_MACHINE = "FenceMachine"
DELETE_MACHINE = "DeleteMachine"
DELETE_MACHINES = "DeleteMachines"
LIST_MACHINE_LEFTOVERS = "ListMachineLeftovers"

AWAIT_API = "AwaitApi"
ENSURE_ACCESS = "EnsureAccess"
ENSURE_ADDONS = "EnsureAddons"
AWAIT_NODES = "AwaitNodes"
VERIFY_CLUSTER = "VerifyCluster"
VERIFY_SERVING = "VerifyServing"
DRAIN_NODE = "DrainNode"
UNCORDON_NODE = "UncordonNode"
PROBE_API = "ProbeApi"

REPORT_STATUS = "ReportStatus"
RELEASE_RESOURCE = "ReleaseResource"
PREPARE_KEY = "PrepareKey"
STORE_CERTIFICATE = "StoreCertificate"
REMOVE_CERTIFICATE = "RemoveCertificate"


def activity_id(step: str, activity: str, subject: str, attempt: int) -> str:
    """Return the id of one attempt of an activity: what the Web UI, histories and logs tell apart."""
    return "/".join(part for part in (step, activity, subject) if part) + f"#{attempt}"


def read_activity_id(identifier: str) -> tuple[str, int]:
    """Return the step and the attempt in an id made by ``activity_id``; the id itself and 1 for others."""
    head, _, attempt = identifier.rpartition("#")
    return (head.partition("/")[0], int(attempt)) if head and attempt.isdigit() else (identifier, 1)
