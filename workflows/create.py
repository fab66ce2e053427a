"""CreateCluster: makes, completes or adopts a guest cluster by walking a plan of steps that ensure."""

from collections.abc import Awaitable, Callable

from temporalio import workflow

from contracts import activities as names
from contracts import queues
from contracts.guest import GuestReport, GuestRequest
from contracts.machines import (
    SEALED,
    EndpointRequest,
    InstallRequest,
    MachineObservation,
    MachinePlan,
    MachineRequest,
    MachineRequests,
)
from contracts.plan import Step, StepKind
from contracts.vault import (
    Authority,
    AuthorityFacts,
    AuthorityRequest,
    ClaimRequest,
    Claims,
    SealedSecrets,
    SealRequest,
    SignedCertificates,
    SigningRequest,
)
from contracts.workflows import CREATE_CLUSTER, OperationInput, OperationResult
from workflows.operation import Operation, all_of, internal

CONTROL_PLANE = "control-plane"


@workflow.defn(name=CREATE_CLUSTER)
class CreateClusterWorkflow:
    """One create. Started by the ``Cluster`` workflow, which undoes a cancelled one by ``DeleteCluster``."""

    @workflow.init
    def __init__(self, start: OperationInput | None = None) -> None:
        """Take the plan; a person who starts this by hand has none, and the run is to fail, not its task."""
        if start is None:
            raise internal("input: none was given; operations are started by a Cluster workflow")
        self._cluster = start.context
        self._plan = start.plan
        self._operation = Operation(start)
        self._booted: dict[str, MachineRequests] = {}

    @workflow.run
    async def run(self, start: OperationInput | None = None) -> OperationResult:
        """Walk the plan to its end; returns the cluster with what was claimed for it."""
        del start
        await self._operation.walk(self._runners())
        return OperationResult(
            context=self._cluster, finished_at=workflow.now(), message="the cluster is verified"
        )

    @workflow.signal
    def pause(self) -> None:
        """Start no further step or attempt."""
        self._operation.pause()

    @workflow.signal
    def resume(self) -> None:
        """Go on after ``pause``."""
        self._operation.resume()

    @workflow.signal
    def retry(self) -> None:
        """Try again now what waits for its next attempt."""
        self._operation.retry()

    def _runners(self) -> dict[StepKind, Callable[[Step], Awaitable[None]]]:
        return {
            StepKind.CLAIM: self._claim,
            StepKind.AUTHORITIES: self._authorities,
            StepKind.SECRETS: self._secrets,
            StepKind.ENDPOINT: self._endpoint,
            StepKind.BOOT: self._boot,
            StepKind.CERTIFY: self._certify,
            StepKind.API: self._guest(names.AWAIT_API),
            StepKind.ACCESS: self._guest(names.ENSURE_ACCESS),
            StepKind.ADDONS: self._guest(names.ENSURE_ADDONS),
            StepKind.NODES: self._guest(names.AWAIT_NODES),
            StepKind.VERIFY: self._guest(names.VERIFY_CLUSTER),
            StepKind.RECORD: self._record,
        }

    async def _claim(self, step: Step) -> None:
        claims = await self._operation.call(
            step, names.CLAIM, self._vault, ClaimRequest(cluster=self._cluster), Claims
        )
        self._cluster = self._cluster.model_copy(
            update={"cluster_id": claims.cluster_id, "machine_network": claims.machine_network}
        )

    async def _authorities(self, step: Step) -> None:
        await all_of(*(self._authority(step, authority) for authority in Authority))

    async def _authority(self, step: Step, authority: Authority) -> None:
        request = AuthorityRequest(cluster=self._cluster, authority=authority)
        await self._operation.call(
            step, names.ENSURE_AUTHORITY, self._vault, request, AuthorityFacts, summary=authority
        )

    async def _secrets(self, step: Step) -> None:
        await self._operation.call(
            step, names.ENSURE_SECRETS, self._vault, ClaimRequest(cluster=self._cluster), type(None)
        )

    async def _record(self, step: Step) -> None:
        """From here on only a delete deletes the cluster, even when Temporal forgets this."""
        request = ClaimRequest(cluster=self._cluster)
        await self._operation.call(step, names.RECORD_COMPLETE, self._vault, request, type(None))

    async def _endpoint(self, step: Step) -> None:
        request = EndpointRequest(cluster=self._cluster, slots=self._plan.groups[CONTROL_PLANE])
        await self._operation.call(step, names.ENSURE_ENDPOINT, self._provider, request, type(None))

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

    def _guest(self, activity: str) -> Callable[[Step], Awaitable[None]]:
        async def run(step: Step) -> None:
            queue = queues.kubernetes(self._cluster.spec.site, self._cluster.spec.provider)
            group = self._machines(step) if step.group else self._plan.groups[CONTROL_PLANE]
            request = GuestRequest(cluster=self._cluster, machines=group)
            await self._operation.call(step, activity, queue, request, GuestReport)

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
    def _provider(self) -> str:
        return queues.provider(self._cluster.spec.site, self._cluster.spec.provider)
