"""DeleteCluster: the one teardown path, on whatever exists of a cluster."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from api.errors import ERRORS, ErrorCode
from api.status import ErrorStatus
from contracts import activities as names
from contracts import queues
from contracts.context import Placements
from contracts.hypervisors import Vacated, VacateRequest
from contracts.machines import ClusterReference, Leftover, Leftovers, has_hypervisors
from contracts.plan import Step, StepKind
from contracts.vault import ClaimRequest, Claims, VaultCleanup
from contracts.workflows import DELETE_CLUSTER, OperationInput, OperationResult
from workflows import policies
from workflows.failures import error_status, is_unanswered
from workflows.operation import all_of
from workflows.steered import Steered

Result = TypeVar("Result")

LOOKS = 2


@workflow.defn(name=DELETE_CLUSTER)
class DeleteClusterWorkflow(Steered):
    """One delete, also the compensation of a create that was given up."""

    @workflow.init
    def __init__(self, start: OperationInput | None = None) -> None:
        """Take the plan."""
        super().__init__(start)
        self._silent: set[str] = set()
        self._owing: list[str] = []
        self._complete = False

    @workflow.run
    async def run(self, start: OperationInput | None = None) -> OperationResult:
        """Walk the plan to its end, when nothing is left of the cluster."""
        del start
        await self._operation.walk(self._runners())
        return OperationResult(context=self._cluster, finished_at=workflow.now(), message="nothing is left")

    def _runners(self) -> dict[StepKind, Callable[[Step], Awaitable[None]]]:
        return {
            StepKind.FIND: self._find,
            StepKind.LOCATE: self._locate,
            StepKind.REMOVE_MACHINES: self._remove_machines,
            StepKind.REMOVE_AUTHORITIES: self._vault_step(names.DELETE_AUTHORITIES),
            StepKind.REMOVE_SECRETS: self._vault_step(names.DELETE_SECRETS),
            StepKind.PROVE_GONE: self._prove_gone,
            StepKind.VACATE: self._vacate,
            StepKind.RELEASE: self._release,
        }

    async def _find(self, step: Step) -> None:
        """Take the id that is pinned for the name, which an entity that never claimed doesn't know."""
        found = await self._operation.call(
            step, names.FIND_CLAIMS, self._vault, ClaimRequest(cluster=self._cluster), Claims
        )
        if found.complete and self._plan.spare_complete:
            message = "the cluster was complete before this start, and a cancel deletes no living cluster"
            raise ApplicationError(message, type=ErrorCode.CLUSTER_COMPLETE, non_retryable=True)
        self._complete = found.complete
        self._cluster = self._cluster.model_copy(update={"cluster_id": found.cluster_id})

    async def _locate(self, step: Step) -> None:
        """Find the cluster's hypervisors. What was on a dead one is removed when it comes back."""
        found = await self._operation.call(step, names.FIND_PLACEMENTS, self._vault, self._cluster, Placements)
        if self._complete and not found.version:
            message = f"no record says where machines of {self._cluster.cluster_id} are: see `virsh list --all`"
            raise ApplicationError(message, type=ErrorCode.HYPERVISOR_REFUSED, non_retryable=True)
        self._cluster = self._cluster.model_copy(update={"placements": found})
        self._silent = {name for name, host in found.hosts.items() if host.dead}

    async def _remove_machines(self, step: Step) -> None:
        await self._ask_all(step, names.DELETE_MACHINES, type(None))

    async def _ask_all(self, step: Step, activity: str, result_type: type[Result]) -> list[Result]:
        """Run an activity about all machines of the cluster, on each hypervisor that is not known to be silent."""
        spec = self._cluster.spec
        if not has_hypervisors(spec.provider):
            queue = queues.provider(spec.site, spec.provider)
            return [await self._operation.call(step, activity, queue, self._reference, result_type)]
        hosts = sorted({*self._cluster.placements.hosts} - self._silent)
        answers = await all_of(*(self._ask(step, activity, host, result_type) for host in hosts))
        return [answer for answer in answers if answer is not None]

    async def _ask(self, step: Step, activity: str, host: str, result_type: type[Result]) -> Result | None:
        """Ask one hypervisor; None when it is silent.

        It is passed over from then on, and owes the removal: a deletion doesn't wait for ever.
        """
        queue = queues.hypervisor(self._cluster.spec.site, host)
        try:
            return await self._operation.call(
                step, activity, queue, self._reference, result_type, summary=host, given_up=is_unanswered
            )
        except ActivityError as error:
            if error_status(error).code not in policies.UNANSWERED:
                raise
            workflow.logger.warning("a hypervisor is silent", extra={"hypervisor": host})
            self._silent.add(host)
            return None

    async def _vacate(self, step: Step) -> None:
        request = VacateRequest(
            cluster=self._reference, site=self._cluster.spec.site, unswept=sorted(self._silent)
        )
        vacated = await self._operation.call(step, names.VACATE_HYPERVISORS, self._vault, request, Vacated)
        self._owing = vacated.owing

    async def _release(self, step: Step) -> None:
        """Release what is claimed, but for the network while something on a silent hypervisor may use it."""
        request = VaultCleanup(cluster=self._reference, keep_network=bool(self._owing))
        await self._operation.call(step, names.RELEASE_CLAIMS, self._vault, request, type(None))

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
        machines = await self._ask_all(step, names.LIST_MACHINE_LEFTOVERS, Leftovers)
        vault = await self._operation.call(
            step, names.LIST_VAULT_LEFTOVERS, self._vault, self._reference, Leftovers
        )
        claims = {"network", "registry"}  # released in the step after this one
        found = [item for seen in (*machines, vault) for item in seen.items]
        return [item for item in found if item.kind not in claims]

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


def _still_there(left: list[Leftover]) -> ErrorStatus:
    listed = ", ".join(f"{item.kind} {item.name}" for item in left[:10])
    return ErrorStatus(
        code=ErrorCode.NOT_GONE,
        message=f"still there after removal: {listed}",
        retryable=True,
        hint=ERRORS[ErrorCode.NOT_GONE].hint,
    )
