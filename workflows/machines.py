"""Steps that bring machines up and to work: the same for a new cluster and for one machine of an old one."""

from collections.abc import Awaitable, Callable

from temporalio import workflow

from contracts import activities as names
from contracts import queues
from contracts.guest import GuestReport, GuestRequest
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
from contracts.workflows import OperationInput
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

    async def _authorities(self, step: Step) -> None:
        await all_of(*(self._authority(step, authority) for authority in Authority))

    async def _authority(self, step: Step, authority: Authority) -> None:
        request = AuthorityRequest(cluster=self._cluster, authority=authority)
        await self._operation.call(
            step, names.ENSURE_AUTHORITY, self._vault, request, AuthorityFacts, summary=authority
        )

    async def _boot(self, step: Step) -> None:
        await all_of(*(self._boot_machine(step, machine) for machine in self._machines(step)))

    async def _boot_machine(self, step: Step, machine: MachinePlan) -> None:
        request = MachineRequest(cluster=self._cluster, machine=machine, slots=self._plan.groups[CONTROL_PLANE])
        self._booted[machine.name] = await self._operation.call(
            step, names.BOOT_MACHINE, self._provider, request, MachineRequests, summary=machine.name
        )

    async def _certify(self, step: Step) -> None:
        await all_of(*(self._certify_machine(step, machine) for machine in self._machines(step)))

    async def _certify_machine(self, step: Step, machine: MachinePlan) -> None:
        """Give a machine what it asked for. One that asks for nothing has it all: an adopted cluster's."""
        booted = self._booted[machine.name]
        files, sealed = await all_of(self._sign(step, machine, booted), self._seal(step, machine, booted))
        request = InstallRequest(cluster=self._cluster, machine=machine, files={**files, **sealed})
        await self._operation.call(
            step, names.INSTALL_MACHINE, self._provider, request, MachineObservation, summary=machine.name
        )

    async def _sign(self, step: Step, machine: MachinePlan, booted: MachineRequests) -> dict[str, str]:
        if not booted.requests:
            return {}
        request = SigningRequest(
            cluster=self._cluster, machine=machine, instance_id=booted.instance_id, requests=booted.requests
        )
        signed = await self._operation.call(
            step, names.SIGN_CERTIFICATES, self._vault, request, SignedCertificates, summary=machine.name
        )
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

    @property
    def _provider(self) -> str:
        return queues.provider(self._cluster.spec.site, self._cluster.spec.provider)
