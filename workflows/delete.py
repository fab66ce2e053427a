"""DeleteCluster: the one teardown path, on whatever exists of a cluster."""

from collections.abc import Awaitable, Callable

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from api.errors import ERRORS, ErrorCode
from api.status import ErrorStatus
from contracts import activities as names
from contracts import queues
from contracts.machines import ClusterReference, Leftover, Leftovers
from contracts.plan import Step, StepKind
from contracts.vault import ClaimRequest, Claims, VaultCleanup
from contracts.workflows import DELETE_CLUSTER, OperationInput, OperationResult
from workflows import policies
from workflows.steered import Steered

LOOKS = 2


@workflow.defn(name=DELETE_CLUSTER)
class DeleteClusterWorkflow(Steered):
    """One delete, also the compensation of a create that was given up."""

    @workflow.run
    async def run(self, start: OperationInput | None = None) -> OperationResult:
        """Walk the plan to its end, when nothing is left of the cluster."""
        del start
        await self._operation.walk(self._runners())
        return OperationResult(context=self._cluster, finished_at=workflow.now(), message="nothing is left")

    def _runners(self) -> dict[StepKind, Callable[[Step], Awaitable[None]]]:
        return {
            StepKind.FIND: self._find,
            StepKind.REMOVE_MACHINES: self._remove_machines,
            StepKind.REMOVE_AUTHORITIES: self._vault_step(names.DELETE_AUTHORITIES),
            StepKind.REMOVE_SECRETS: self._vault_step(names.DELETE_SECRETS),
            StepKind.PROVE_GONE: self._prove_gone,
            StepKind.RELEASE: self._vault_step(names.RELEASE_CLAIMS),
        }

    async def _find(self, step: Step) -> None:
        """Take the id that is pinned for the name, which an entity that never claimed doesn't know."""
        found = await self._operation.call(
            step, names.FIND_CLAIMS, self._vault, ClaimRequest(cluster=self._cluster), Claims
        )
        if found.complete and self._plan.spare_complete:
            message = "the cluster was complete before this start, and a cancel deletes no living cluster"
            raise ApplicationError(message, type=ErrorCode.CLUSTER_COMPLETE, non_retryable=True)
        self._cluster = self._cluster.model_copy(update={"cluster_id": found.cluster_id})

    async def _remove_machines(self, step: Step) -> None:
        await self._operation.call(step, names.DELETE_MACHINES, self._provider, self._reference, type(None))

    def _vault_step(self, activity: str) -> Callable[[Step], Awaitable[None]]:
        async def run(step: Step) -> None:
            await self._operation.call(
                step, activity, self._vault, VaultCleanup(cluster=self._reference), type(None)
            )

        return run

    async def _prove_gone(self, step: Step) -> None:
        """Look, wait as long as a lost request can still take effect, look again; remove what turned up."""
        empty_looks, removals = 0, 0
        while empty_looks < LOOKS:
            left = await self._look(step)
            if left:
                empty_looks, removals = 0, removals + 1
                await self._operation.hold(step, removals, _still_there(left))
                await self._remove_again(step)
            elif (empty_looks := empty_looks + 1) < LOOKS:
                await workflow.sleep(policies.LOST_REQUEST, summary="let requests that got lost take effect")

    async def _look(self, step: Step) -> list[Leftover]:
        machines = await self._operation.call(
            step, names.LIST_MACHINE_LEFTOVERS, self._provider, self._reference, Leftovers
        )
        vault = await self._operation.call(
            step, names.LIST_VAULT_LEFTOVERS, self._vault, self._reference, Leftovers
        )
        claims = {"network", "registry"}  # released in the step after this one
        return [item for item in (*machines.items, *vault.items) if item.kind not in claims]

    async def _remove_again(self, step: Step) -> None:
        await self._remove_machines(step)
        for activity in (names.DELETE_AUTHORITIES, names.DELETE_SECRETS):
            await self._vault_step(activity)(step)

    @property
    def _reference(self) -> ClusterReference:
        cluster = self._cluster
        return ClusterReference(cluster_id=cluster.cluster_id, namespace=cluster.namespace, name=cluster.name)

    @property
    def _vault(self) -> str:
        return queues.vault(self._cluster.spec.site)

    @property
    def _provider(self) -> str:
        return queues.provider(self._cluster.spec.site, self._cluster.spec.provider)


def _still_there(left: list[Leftover]) -> ErrorStatus:
    listed = ", ".join(f"{item.kind} {item.name}" for item in left[:10])
    return ErrorStatus(
        code=ErrorCode.NOT_GONE,
        message=f"still there after removal: {listed}",
        retryable=True,
        hint=ERRORS[ErrorCode.NOT_GONE].hint,
    )
