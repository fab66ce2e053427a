"""RotateCertificates: new keys and certificates for the machines of a living cluster, which go on working."""

from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

from api.errors import ErrorCode
from api.status import ErrorStatus
from contracts import activities as names
from contracts.guest import GuestReport, ServingRequest
from contracts.machines import (
    InstallRequest,
    MachineObservation,
    MachinePlan,
    MachineRequests,
    MachineRole,
    RenewRequest,
)
from contracts.plan import Step, StepKind
from contracts.workflows import ROTATE_CERTIFICATES, OperationInput, OperationResult
from workflows import policies
from workflows.failures import error_status, is_cancelled, is_unanswered
from workflows.machines import CONTROL_PLANE, MachineSteps
from workflows.operation import all_of

Result = TypeVar("Result")


@workflow.defn(name=ROTATE_CERTIFICATES)
class RotateCertificatesWorkflow(MachineSteps):
    """Each machine for itself: one that doesn't answer is told of, and holds none of the others back."""

    @workflow.init
    def __init__(self, start: OperationInput | None = None) -> None:
        """Take the plan."""
        super().__init__(start)
        self._unserved = ""

    @workflow.run
    async def run(self, start: OperationInput | None = None) -> OperationResult:
        """Walk the plan to its end, when every endpoint that answers shows its new certificate."""
        del start
        await self._operation.walk(
            {
                StepKind.LOCATE: self._locate,
                StepKind.AUTHORITIES: self._authorities,
                StepKind.RENEW: self._renew,
            }
        )
        return self._result(self._plan.reason)

    async def _renew(self, step: Step) -> None:
        machines = [machine for machine in self._machines(step) if machine.name in self._plan.renewals]
        if self._unserved and step.group.startswith(f"{CONTROL_PLANE}/"):
            # What went wrong there might go wrong here too, and a control plane is to be left that works.
            self._unrenewed |= {machine.name: f"left alone, because of {self._unserved}" for machine in machines}
            return
        await all_of(*(self._renew_or_tell(step, machine) for machine in machines))

    async def _renew_or_tell(self, step: Step, machine: MachinePlan) -> None:
        try:
            await self._renew_machine(step, machine)
        except ActivityError as error:
            if is_cancelled(error):
                raise
            described = error_status(error, self._queue(machine.name))
            workflow.logger.warning("not renewed", extra={"machine": machine.name, "error": described.message})
            self._issued.pop(machine.name, None)
            self._certificates.pop(machine.name, None)
            self._unrenewed[machine.name] = f"{described.code}: {described.message}"
            if machine.role is MachineRole.CONTROL_PLANE and described.code == ErrorCode.CERTIFICATE_NOT_SERVED:
                self._unserved = machine.name

    async def _renew_machine(self, step: Step, machine: MachinePlan) -> None:
        """Have new keys made, certificates signed for them and taken over, and see them shown."""
        wanted = self._plan.renewals[machine.name]
        renew = RenewRequest(cluster=self._cluster, machine=machine, names=wanted)
        requests = await self._call(step, names.RENEW_KEYS, renew, MachineRequests)
        files = await self._sign(step, machine, requests)
        install = InstallRequest(cluster=self._cluster, machine=machine, files=files)
        await self._call(step, names.INSTALL_MACHINE, install, MachineObservation)
        serials = {name: issued.serial for name, issued in self._issued[machine.name].items()}
        shown = ServingRequest(cluster=self._cluster, machine=machine, serials=serials)
        await self._call(step, names.VERIFY_SERVING, shown, GuestReport, queue=self._kubernetes)

    async def _call(
        self,
        step: Step,
        activity: str,
        request: RenewRequest | InstallRequest | ServingRequest,
        result_type: type[Result],
        queue: str = "",
    ) -> Result:
        """Call an activity about a machine a few times; on ``queue``, or else where the machine is."""
        return await self._operation.call(
            step,
            activity,
            queue or self._queue(request.machine.name),
            request,
            result_type,
            summary=request.machine.name,
            given_up=_is_tried_enough,
        )


def _is_tried_enough(error: ErrorStatus, attempt: int) -> bool:
    """Say whether a machine is left out after failure number ``attempt``; Vault is waited for."""
    if error.code in policies.VAULT_AWAY:
        return False
    return attempt >= policies.RENEWAL_TRIES or is_unanswered(error, attempt)
