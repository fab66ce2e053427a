"""Activities that answer from a script, for tests of workflows alone.

The real ones are tested against real systems; here order, retries and compensation are under test.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.plans import Planner
from api.errors import ErrorCode
from contracts import activities as names
from contracts import queues
from contracts.certificates import CERTIFICATES, held_by, wanted
from contracts.errors import StepError
from contracts.guest import GuestReport, GuestRequest, ServingRequest
from contracts.machines import (
    ClusterReference,
    CredentialsRequest,
    CredentialsSeen,
    EndpointRequest,
    InstallRequest,
    Leftover,
    Leftovers,
    MachineObservation,
    MachineObservations,
    MachineRequest,
    MachineRequests,
    MachinesReference,
    MachineState,
    RenewRequest,
)
from contracts.reporting import ApiHealth, ProbeRequest, ReportAnswer, ResourceReference, StatusReport
from contracts.vault import (
    AuthorityFacts,
    AuthorityRequest,
    ClaimRequest,
    Claims,
    Issued,
    SealedSecrets,
    SealRequest,
    SignedCertificates,
    SigningRequest,
    UserCertificate,
    UserCertificateRequest,
    VaultCleanup,
)
from planning.decide import Standing
from workers.worker.serving import Queue, workflow_queue


class Script:
    """What the fakes do: how often each activity fails, which ones hang, and what was called."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failures: Counter[str] = Counter()
        self.fatal: set[str] = set()
        self.lost: set[str] = set()
        self.failure_code = ErrorCode.VAULT_UNAVAILABLE
        self.fatal_code = ErrorCode.QUOTA_EXCEEDED
        self.gates: dict[str, asyncio.Event] = {}
        self.stubborn: set[str] = set()
        self.left: list[Leftover] = []
        self.pinned: dict[str, str] = {}
        self.unplannable = 0
        self.states: dict[str, MachineState] = {}
        self.removed: list[str] = []
        self.spared: list[str] = []
        self.meant: list[dict[str, str]] = []
        self.graceful: list[bool] = []
        self.hung: set[str] = set()
        self.reports: list[StatusReport] = []
        self.released: list[ResourceReference] = []
        self.newest = 0
        self.expires_at = datetime(2026, 12, 3, tzinfo=UTC)
        self.silent: set[str] = set()
        self.audited: set[str] = set()
        self.unseen: set[str] = set()
        self.gone = False
        self.health = ApiHealth(available=True, message="answers")

    def registered(self, _namespace: str, _name: str) -> Standing | None:
        """Return what a name is registered for: nothing, unless Vault is away."""
        if self.unplannable:
            self.unplannable -= 1
            raise StepError(ErrorCode.VAULT_UNAVAILABLE, "Vault does not answer")
        return None

    def look(self, request: MachinesReference) -> MachineObservations:
        """Return what is seen of machines: up, unless the script has another state for one."""
        states = {name: self.states.get(name, MachineState.UP) for name in request.names}
        return MachineObservations(
            items=[
                MachineObservation(
                    name=name, state=state, instance_id="" if name in self.hung else self.instance(name)
                )
                for name, state in states.items()
            ]
        )

    def instance(self, name: str) -> str:
        """Return the id of the instance of a machine that there is: a new one after each removal."""
        return f"{name}.{self.removed.count(name)}"

    def remove(self, request: MachinesReference) -> None:
        """Note which machines were fenced or deleted."""
        self.meant.append(request.instances)
        self.graceful.append(request.graceful)
        self.spared += [name for name, seen in request.instances.items() if seen != self.instance(name)]
        self.removed += request.names

    @activity.defn(name=names.PROBE_API)
    async def await_change(self, request: ProbeRequest) -> ApiHealth:
        """Return how the API is when that is not as it was known to be."""
        await self.play(names.PROBE_API)
        while request.known == self.health:
            await asyncio.sleep(0.05)
        return self.health

    def sign(self, request: SigningRequest) -> SignedCertificates:
        """Return a certificate for each request, another one each time."""
        serial = f"{self.count(names.SIGN_CERTIFICATES):02x}"
        issued = {
            name: Issued(
                serial=serial,
                issued_at=datetime.now(UTC),
                expires_at=self.expires_at,
                credential=f"{request.machine.name}/{name}/{serial}",
                wanted=wanted(CERTIFICATES[name], request.cluster, request.machine),
                audited=name in self.audited,
            )
            for name in request.requests
        }
        return SignedCertificates(files={"kubelet.crt": "c"}, expires_at=self.expires_at, issued=issued)

    def renew(self, request: RenewRequest) -> MachineRequests:
        """Return requests for what is to be renewed, unless the machine is one that doesn't answer."""
        if request.machine.name in self.silent:
            raise StepError(ErrorCode.MACHINE_NOT_READY, f"machine {request.machine.name} does not answer")
        return MachineRequests(instance_id="i", requests=dict.fromkeys(request.names, "csr"))

    def meet(self, request: CredentialsRequest) -> CredentialsSeen:
        """Return all credentials but those that nobody has used."""
        return CredentialsSeen(credentials=[each for each in request.credentials if each not in self.unseen])

    def report(self, report: StatusReport) -> ReportAnswer:
        """Keep a report."""
        self.reports.append(report)
        return ReportAnswer(sequence=max(self.newest, report.sequence), gone=self.gone)

    def release(self, resource: ResourceReference) -> ReportAnswer:
        """Note that a resource was let go."""
        self.released.append(resource)
        return ReportAnswer(gone=True)

    def count(self, name: str) -> int:
        """Return how often an activity was called."""
        return sum(call == name for call in self.calls)

    async def _wait(self, name: str) -> None:
        try:
            await self.gates[name].wait()
        except asyncio.CancelledError:
            if name in self.stubborn:
                raise ApplicationError(f"{name} failed", type=ErrorCode.VAULT_UNAVAILABLE) from None
            raise

    def lose(self, name: str) -> None:
        """Lose the answer of an activity, once, if the script says so: it failed, as far as anybody knows."""
        if name in self.lost:
            self.lost.remove(name)
            raise ApplicationError(f"{name} does not answer", type=self.failure_code)

    async def play(self, name: str) -> None:
        """Record a call, then fail or hang if the script says so."""
        self.calls.append(name)
        if name in self.gates:
            await self._wait(name)
        if self.failures[name]:
            self.failures[name] -= 1
            raise ApplicationError(f"{name} failed", type=self.failure_code)
        if name in self.fatal:
            raise ApplicationError(f"{name} is impossible", type=self.fatal_code, non_retryable=True)


def fake_activities(script: Script) -> list[Callable[..., Any]]:
    """Return one fake for every activity but planning, which is pure and used as it is."""

    def answering(name: str, request_type: type, make: Callable[[Any], Any]) -> Callable[..., Any]:
        async def run(request: Any) -> Any:
            await script.play(name)
            answer = make(request)
            script.lose(name)
            return answer

        run.__annotations__["request"] = request_type
        return activity.defn(name=name)(run)

    def claims(request: ClaimRequest) -> Claims:
        cluster = request.cluster
        return Claims(
            cluster_id=script.pinned.setdefault(cluster.name, cluster.cluster_id),
            machine_network="127.64.1.0/24",
            complete=names.RECORD_COMPLETE in script.calls,
        )

    def booted(request: MachineRequest) -> MachineRequests:
        script.states.pop(request.machine.name, None)
        sealing = "certificate" if request.machine.role == "control-plane" else ""
        held = held_by(request.machine.role, request.cluster.spec.provider)
        requests = dict.fromkeys((kind.name for kind in held), "csr")
        return MachineRequests(instance_id="i", requests=requests, sealing_certificate=sealing)

    def leftovers(_: ClusterReference) -> Leftovers:
        items, script.left = script.left, []
        return Leftovers(items=items)

    def user(request: UserCertificateRequest) -> UserCertificate:
        return UserCertificate(
            certificate=f"for {request.user}",
            authority="ca",
            endpoint=request.cluster.endpoint,
            serial="1",
            not_after="2030-01-01T00:00:00Z",
        )

    def observed(request: InstallRequest) -> MachineObservation:
        return MachineObservation(name=request.machine.name, state=MachineState.UP)

    return [
        script.await_change,
        answering(names.REPORT_STATUS, StatusReport, script.report),
        answering(names.RELEASE_RESOURCE, ResourceReference, script.release),
        answering(names.CLAIM, ClaimRequest, claims),
        answering(names.FIND_CLAIMS, ClaimRequest, claims),
        answering(
            names.ENSURE_AUTHORITY,
            AuthorityRequest,
            lambda request: AuthorityFacts(authority=request.authority, certificate="ca"),
        ),
        answering(names.RECORD_COMPLETE, ClaimRequest, lambda _: None),
        answering(names.ENSURE_SECRETS, ClaimRequest, lambda _: None),
        answering(names.SIGN_CERTIFICATES, SigningRequest, script.sign),
        answering(names.RENEW_KEYS, RenewRequest, script.renew),
        answering(names.FIND_CREDENTIALS, CredentialsRequest, script.meet),
        answering(names.VERIFY_SERVING, ServingRequest, lambda _: GuestReport(message="fine")),
        answering(names.SEAL_SECRETS, SealRequest, lambda _: SealedSecrets(envelope="e")),
        answering(names.SIGN_USER_CERTIFICATE, UserCertificateRequest, user),
        *(
            answering(name, VaultCleanup, lambda _: None)
            for name in (names.DELETE_AUTHORITIES, names.DELETE_SECRETS, names.RELEASE_CLAIMS)
        ),
        answering(names.LIST_VAULT_LEFTOVERS, ClusterReference, leftovers),
        answering(names.ENSURE_ENDPOINT, EndpointRequest, lambda _: None),
        answering(names.BOOT_MACHINE, MachineRequest, booted),
        answering(names.INSTALL_MACHINE, InstallRequest, observed),
        answering(names.OBSERVE_MACHINES, MachinesReference, script.look),
        *(
            answering(name, MachinesReference, script.remove)
            for name in (names.FENCE_MACHINE, names.DELETE_MACHINE)
        ),
        answering(names.DELETE_MACHINES, ClusterReference, lambda _: None),
        answering(names.LIST_MACHINE_LEFTOVERS, ClusterReference, leftovers),
        *(
            answering(name, GuestRequest, lambda _: GuestReport(message="fine"))
            for name in (
                names.AWAIT_API,
                names.ENSURE_ACCESS,
                names.ENSURE_ADDONS,
                names.AWAIT_NODES,
                names.VERIFY_CLUSTER,
                names.DRAIN_NODE,
                names.UNCORDON_NODE,
            )
        ),
    ]


def fake_queues(script: Script) -> list[Queue]:
    """Return all queues that a simulated cluster uses, served by the fakes."""
    fakes = fake_activities(script)
    planner = Planner(script.registered)
    site = "default"
    return [
        workflow_queue(),
        Queue(queues.planning(site), [planner.plan_operation, planner.plan_repair]),
        Queue(queues.vault(site), fakes),
        Queue(queues.provider(site, "simulated"), fakes),
        Queue(queues.probes(site, "simulated"), fakes),
        Queue(queues.HOST, fakes),
    ]
