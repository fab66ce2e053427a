"""CreateCluster: makes, completes or adopts a guest cluster by walking a plan of steps that ensure."""

from collections.abc import Awaitable, Callable

from temporalio import workflow

from contracts import activities as names
from contracts import queues
from contracts.machines import EndpointRequest
from contracts.plan import Step, StepKind
from contracts.vault import ClaimRequest, Claims
from contracts.workflows import CREATE_CLUSTER, OperationInput, OperationResult
from workflows.machines import CONTROL_PLANE, MachineSteps


@workflow.defn(name=CREATE_CLUSTER)
class CreateClusterWorkflow(MachineSteps):
    """One create. Started by the ``Cluster`` workflow, which undoes a cancelled one by ``DeleteCluster``."""

    @workflow.run
    async def run(self, start: OperationInput | None = None) -> OperationResult:
        """Walk the plan to its end; returns the cluster with what was claimed for it."""
        del start
        await self._operation.walk(self._runners())
        return self._result("the cluster is verified")

    def _runners(self) -> dict[StepKind, Callable[[Step], Awaitable[None]]]:
        return {
            StepKind.CLAIM: self._claim,
            StepKind.PLACE: self._place,
            StepKind.NETWORK: self._network,
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
        provider = queues.provider(self._cluster.spec.site, self._cluster.spec.provider)
        await self._operation.call(step, names.ENSURE_ENDPOINT, provider, request, type(None))
