"""Steps that bring machines up and to work: the same for a new cluster and for one machine of an old one."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError

from contracts import activities as names
from contracts import queues
from contracts.context import Placements
from contracts.guest import GuestReport, GuestRequest
from contracts.hypervisors import NetworkRequest, PlaceRequest
from contracts.machines import (
    SEALED,
    InstallRequest,
    MachineObservation,
    MachinePlan,
    MachineRequest,
    MachineRequests,
)
from contracts.plan import Step
from contracts.vault import (
    Authority,
    AuthorityFacts,
    AuthorityRequest,
    SealedSecrets,
    SealRequest,
    SignedCertificates,
    SigningRequest,
)
from contracts.workflows import Certificates, OperationInput, OperationResult
from workflows import policies
from workflows.failures import error_status, is_unanswered
from workflows.operation import all_of, internal
from workflows.steered import Steered

CONTROL_PLANE = "control-plane"


class MachineSteps(Steered):
    """An operation whose plan has groups of machines."""

    @workflow.init
    def __init__(self, start: OperationInput | None = None) -> None:
        """Take the plan."""
        super().__init__(start)
        self._booted: dict[str, MachineRequests] = {}
        self._certificates: dict[str, datetime] = {}
        self._issued: Certificates = {}
        self._unrenewed: dict[str, str] = {}
        self._unremoved = False

    async def _authorities(self, step: Step) -> None:
        await all_of(*(self._authority(step, authority) for authority in Authority))

    async def _authority(self, step: Step, authority: Authority) -> None:
        request = AuthorityRequest(cluster=self._cluster, authority=authority)
        await self._operation.call(
            step, names.ENSURE_AUTHORITY, self._vault, request, AuthorityFacts, summary=authority
        )

    async def _locate(self, step: Step) -> None:
        """Find where machines are now: hypervisors are evacuated, and die."""
        placements = await self._operation.call(
            step, names.FIND_PLACEMENTS, self._vault, self._cluster, Placements
        )
        self._cluster = self._cluster.model_copy(update={"placements": placements})

    async def _place(self, step: Step) -> None:
        """Choose hypervisors: for a group of machines that don't exist any more, or for all that are wanted."""
        machines = (
            self._machines(step) if step.group else [one for all_ in self._plan.groups.values() for one in all_]
        )
        request = PlaceRequest(
            cluster=self._cluster, machines=machines, moving=bool(step.group), unremoved=self._unremoved
        )
        placements = await self._operation.call(step, names.PLACE_MACHINES, self._vault, request, Placements)
        self._cluster = self._cluster.model_copy(update={"placements": placements})

    async def _network(self, step: Step) -> None:
        """Join the cluster's hypervisors, and let each know the others.

        For a living cluster those without the machine may be silent: they are told of the others by their next
        check.
        """
        placed = self._cluster.placements
        own = (
            {placed.machines[machine.name] for machine in self._machines(step)} if step.group else {*placed.hosts}
        )
        living = sorted(name for name, host in placed.hosts.items() if not host.dead)
        await all_of(*(self._join(step, name, needed=name in own) for name in living))

    async def _join(self, step: Step, hypervisor: str, *, needed: bool) -> None:
        request = NetworkRequest(cluster=self._cluster, hypervisor=hypervisor)
        queue = queues.hypervisor(self._cluster.spec.site, hypervisor)
        try:
            await self._operation.call(
                step,
                names.ENSURE_NETWORK,
                queue,
                request,
                type(None),
                summary=hypervisor,
                given_up=lambda error, attempt: not needed and is_unanswered(error, attempt),
            )
        except ActivityError as error:
            if needed or error_status(error).code not in policies.UNANSWERED:
                raise
            workflow.logger.warning("not joined now", extra={"hypervisor": hypervisor})

    async def _boot(self, step: Step) -> None:
        await all_of(*(self._boot_machine(step, machine) for machine in self._machines(step)))

    async def _boot_machine(self, step: Step, machine: MachinePlan) -> None:
        request = MachineRequest(cluster=self._cluster, machine=machine, slots=self._plan.groups[CONTROL_PLANE])
        self._booted[machine.name] = await self._operation.call(
            step, names.BOOT_MACHINE, self._queue(machine.name), request, MachineRequests, summary=machine.name
        )

    async def _certify(self, step: Step) -> None:
        await all_of(*(self._certify_machine(step, machine) for machine in self._machines(step)))

    async def _certify_machine(self, step: Step, machine: MachinePlan) -> None:
        """Give a machine what it asked for. One that asks for nothing has it all: an adopted cluster's."""
        booted = self._booted[machine.name]
        files, sealed = await all_of(self._sign(step, machine, booted), self._seal(step, machine, booted))
        request = InstallRequest(cluster=self._cluster, machine=machine, files={**files, **sealed})
        await self._operation.call(
            step,
            names.INSTALL_MACHINE,
            self._queue(machine.name),
            request,
            MachineObservation,
            summary=machine.name,
        )

    async def _sign(self, step: Step, machine: MachinePlan, booted: MachineRequests) -> dict[str, str]:
        if not booted.requests:
            return {}
        request = SigningRequest(
            cluster=self._cluster, machine=machine, instance_id=booted.instance_id, requests=booted.requests
        )
        if why := self._plan.reasons.get(machine.name):
            request = request.model_copy(update={"reason": why})
        signed = await self._operation.call(
            step, names.SIGN_CERTIFICATES, self._vault, request, SignedCertificates, summary=machine.name
        )
        if signed.expires_at:
            self._certificates[machine.name] = signed.expires_at
        self._issued[machine.name] = signed.issued
        return signed.files

    async def _seal(self, step: Step, machine: MachinePlan, booted: MachineRequests) -> dict[str, str]:
        if not booted.sealing_certificate:
            return {}
        request = SealRequest(
            cluster=self._cluster, machine=machine, sealing_certificate=booted.sealing_certificate
        )
        sealed = await self._operation.call(
            step, names.SEAL_SECRETS, self._vault, request, SealedSecrets, summary=machine.name
        )
        return {SEALED: sealed.envelope}

    def _result(self, message: str) -> OperationResult:
        return OperationResult(
            context=self._cluster,
            finished_at=workflow.now(),
            message=message,
            certificates=self._certificates,
            issued=self._issued,
            unrenewed=self._unrenewed,
        )

    def _guest(self, activity: str, *, anew: bool = False) -> Callable[[Step], Awaitable[None]]:
        async def run(step: Step) -> None:
            group = self._machines(step) if step.group else self._plan.groups[CONTROL_PLANE]
            request = GuestRequest(cluster=self._cluster, machines=group, anew=anew)
            await self._operation.call(step, activity, self._kubernetes, request, GuestReport)

        return run

    def _machines(self, step: Step) -> list[MachinePlan]:
        try:
            return self._plan.groups[step.group]
        except KeyError:
            raise internal(f"the plan's step {step.name} names the unknown group {step.group!r}") from None

    @property
    def _vault(self) -> str:
        return queues.vault(self._cluster.spec.site)

    @property
    def _kubernetes(self) -> str:
        return queues.kubernetes(self._cluster.spec.site, self._cluster.spec.provider)

    def _queue(self, machine: str) -> str:
        return queues.machine(self._cluster, machine)
