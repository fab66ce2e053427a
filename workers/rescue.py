"""New certificates for the machines of a cluster without Temporal.

Plan, order and functions are those of the operation RotateCertificates (``workflows.rotate``), called directly.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from activities.kubernetes import GuestActivities
from activities.machines import MachineActivities
from activities.vault import Task, VaultSettings, worker_identities
from activities.vault.authorities import Authorities
from activities.vault.clock import utc_now
from activities.vault.placements import PlacementTable
from activities.vault.signing import Signing
from api.errors import ErrorCode
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.guest import ServingRequest
from contracts.machines import InstallRequest, MachinePlan, MachineRole, RenewRequest, has_hypervisors
from contracts.plan import Step, StepKind
from contracts.vault import Authority, AuthorityRequest, SigningRequest
from planning.certificates import Known, plan_rotation
from planning.create import CONTROL_PLANE
from workers.hypervisor.name import hypervisor_name
from workers.worker.settings import Settings
from workers.worker.wiring import local_provider
from workflows import policies

Request = TypeVar("Request")
Result = TypeVar("Result")

log = structlog.get_logger("rescue")


class Rescue:
    """Renews all certificates of one cluster's machines; ``say`` is told what people want to read meanwhile.

    ``renewed`` and ``unrenewed`` tell how far it is: names of machines, the latter with the reason.
    """

    def __init__(
        self, cluster: ClusterContext, vault: VaultSettings, settings: Settings, say: Callable[[str], None]
    ) -> None:
        """Plan, with the logins of a worker; nothing is asked of anybody yet."""
        self.plan = plan_rotation(Known(cluster, {}), utc_now(), asked=True)
        self.renewed: list[str] = []
        self.unrenewed: dict[str, str] = {}
        self._cluster, self._settings, self._say = cluster, settings, say
        self._unserved = ""
        self._placements = PlacementTable(vault.client(Task.REGISTRY))
        self._authorities = Authorities(vault.client(Task.MOUNT_ADMIN))
        self._signing = Signing(vault.client(Task.SIGNER))
        self._guest = GuestActivities(worker_identities(vault))

    async def run(self) -> None:
        """Walk the plan's steps one after another; a machine that can't be renewed holds no other one back.

        Raises ``StepError`` when nothing can be done for any of them. What a cancellation finds under way is ended
        by its thread; each machine has either all of its new certificates or all of its old ones.
        """
        runners: dict[StepKind, Callable[[Step], Awaitable[None]]] = {
            StepKind.LOCATE: self._locate,
            StepKind.AUTHORITIES: self._ensure_authorities,
            StepKind.RENEW: self._renew,
        }
        cluster = self._cluster
        fields = {"namespace": cluster.namespace, "cluster": cluster.name, "cluster_id": cluster.cluster_id}
        with structlog.contextvars.bound_contextvars(operation="rescue", **fields):
            for step in self.plan.steps:
                await runners[step.kind](step)

    async def _locate(self, step: Step) -> None:
        placements = await self._call(step.name, self._placements.find, self._cluster)
        self._cluster = self._cluster.model_copy(update={"placements": placements})

    async def _ensure_authorities(self, step: Step) -> None:
        for authority in Authority:
            request = AuthorityRequest(cluster=self._cluster, authority=authority)
            await self._call(f"{step.name}: {authority}", self._authorities.ensure, request)

    async def _renew(self, step: Step) -> None:
        machines = self.plan.groups[step.group]
        if self._unserved and step.group.startswith(f"{CONTROL_PLANE}/"):
            for machine in machines:
                self._tell(machine, f"left alone, because of {self._unserved}")
            return
        await asyncio.gather(*(self._renew_or_tell(machine) for machine in machines))

    async def _renew_or_tell(self, machine: MachinePlan) -> None:
        try:
            await self._renew_machine(machine)
        except StepError as error:
            self._tell(machine, f"{error.code}: {error.message}; {error.hint}")
            if machine.role is MachineRole.CONTROL_PLANE and error.code is ErrorCode.CERTIFICATE_NOT_SERVED:
                self._unserved = machine.name
        else:
            self.renewed.append(machine.name)

    async def _renew_machine(self, machine: MachinePlan) -> None:
        cluster, name, wanted = self._cluster, machine.name, self.plan.renewals[machine.name]
        self._check_here(name)
        self._say(f"{name}: {len(wanted)} certificates are being renewed")
        renew = RenewRequest(cluster=cluster, machine=machine, names=wanted)
        asked = await self._call(name, self._machines.renew, renew)
        signing = SigningRequest(
            cluster=cluster, machine=machine, instance_id=asked.instance_id, requests=asked.requests
        )
        signed = await self._call(name, self._signing.sign, signing)
        install = InstallRequest(cluster=cluster, machine=machine, files=signed.files)
        await self._call(name, self._machines.install, install)
        serials = {kind: issued.serial for kind, issued in signed.issued.items()}
        shown = ServingRequest(cluster=cluster, machine=machine, serials=serials)
        report = await self._call(name, self._guest.verify_serving, shown)
        end = f"{signed.expires_at:%Y-%m-%d %H:%M} UTC" if signed.expires_at else "unknown"
        self._say(f"{name}: renewed until {end}; {report.message}")

    def _check_here(self, machine: str) -> None:
        """Raise ``StepError`` when a machine is on another hypervisor than this."""
        where = self._cluster.placements.machines.get(machine, "")
        if has_hypervisors(self._cluster.spec.provider) and where != hypervisor_name():
            named = f"{self._cluster.namespace}/{self._cluster.name}"
            there = (
                f"is on the hypervisor {where}: run `g8s rescue {named}` there" if where else "is placed nowhere"
            )
            raise StepError(ErrorCode.PROVIDER_UNAVAILABLE, f"{machine} {there}")

    @cached_property
    def _machines(self) -> MachineActivities:
        """What is asked of machines; ``StepError`` where machines of this provider can't be reached."""
        provider = self._cluster.spec.provider
        try:
            return (
                _libvirt()
                if has_hypervisors(provider)
                else MachineActivities(local_provider(self._settings.state))
            )
        except (ImportError, RuntimeError) as error:
            reason = f"machines of provider {provider} can't be reached from here: {error}"
            raise StepError(ErrorCode.PROVIDER_UNAVAILABLE, reason) from error

    def _tell(self, machine: MachinePlan, why: str) -> None:
        self.unrenewed[machine.name] = why
        self._say(f"{machine.name}: NOT renewed: {why}")

    async def _call(self, about: str, function: Callable[[Request], Result], request: Request) -> Result:
        """Call an activity's function as often as the operation would; raises the last ``StepError``."""

        def say_again(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            self._say(f"{about}: {error}; try {state.attempt_number + 1} of {policies.RENEWAL_TRIES} follows")

        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, StepError) and error.retryable),
            stop=stop_after_attempt(policies.RENEWAL_TRIES),
            wait=lambda state: policies.backoff(state.attempt_number).total_seconds(),
            before_sleep=say_again,
            reraise=True,
        )
        with structlog.contextvars.bound_contextvars(step=about, activity=function.__name__):
            return await retrying(_once, function, request)


async def _once(function: Callable[[Request], Result], request: Request) -> Result:
    """Call a function in a thread, and log what came of it; raises ``StepError`` only."""
    try:
        result = await asyncio.to_thread(function, request)
    except StepError as error:
        log.warning("step failed", code=error.code, message=error.message, retryable=error.retryable)
        raise
    except Exception as error:
        log.exception("a step raised what it does not know")
        raise StepError(ErrorCode.INTERNAL, f"unexpected {type(error).__name__}; the log has more") from None
    log.info("step done")
    return result


def _libvirt() -> MachineActivities:
    # Only where libvirt-python is installed, which g8s does without.
    from activities.libvirt.provider import LibvirtProvider  # noqa: PLC0415
    from deploy.node_image import installed_images  # noqa: PLC0415
    from workers.hypervisor.settings import from_environment  # noqa: PLC0415

    # Of which kind machines are counts when they are made.
    return MachineActivities(LibvirtProvider(from_environment("kvm"), installed_images))
