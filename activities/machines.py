"""The activities over a provider of machines; one set for each provider, on the provider's own queue."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from temporalio import activity

from activities.parallel import gather
from api.errors import ErrorCode
from contracts import activities as names
from contracts.errors import StepError
from contracts.machines import (
    INSTALL_COMMAND,
    RENEW_COMMAND,
    REQUESTS_COMMAND,
    SEEN_COMMAND,
    ClusterReference,
    CredentialsRequest,
    CredentialsSeen,
    EndpointRequest,
    InstallRequest,
    Leftovers,
    MachineFacts,
    MachineObservation,
    MachineObservations,
    MachineRequest,
    MachineRequests,
    MachinesReference,
    MachineState,
    Provider,
    RenewRequest,
    is_meant,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long a machine may take to boot, and how often it is looked at meanwhile, both in seconds.

    A new one that has told nothing of itself for ``silent`` seconds is switched off and on once: it may stand
    still. One that has worked may be busy, and is for repair to judge.
    """

    boot: float = 60.0
    poll: float = 0.03
    silent: float = math.inf


LOOKS = 16
"""Machines that are looked at at the same time: a silent one takes 20 s, and there may be 200."""

PROMPT = Patience()
"""For machines that are processes."""

EXPLAIN_COMMAND = ["giantnetes-machine", "explain"]
"""With names of programs after it: prints for each the last error in its log."""

_TOLD = {
    "no space left on device": ErrorCode.DISK_FULL,
    "disk quota exceeded": ErrorCode.DISK_FULL,
    "address already in use": ErrorCode.ADDRESS_IN_USE,
    "can't find command": ErrorCode.BINARIES_MISSING,
}
"""What is said on a machine (errno(3), and supervisord of a program) when it isn't the machine's own fault."""


def machine_activities(provider: Provider, patience: Patience = PROMPT) -> list[Callable[..., Any]]:
    """Return the activities for the queue of one provider."""
    machines = MachineActivities(provider, patience)
    return [
        machines.ensure_endpoint,
        machines.boot,
        machines.install,
        machines.renew,
        machines.find_credentials,
        machines.observe,
        machines.fence,
        machines.delete,
        machines.delete_all,
        machines.list_left,
    ]


class MachineActivities:
    """What workflows ask of a provider. Every method raises only ``StepError``."""

    def __init__(self, provider: Provider, patience: Patience = PROMPT) -> None:
        """Speak to ``provider``."""
        self._provider = provider
        self._patience = patience

    @activity.defn(name=names.ENSURE_ENDPOINT)
    def ensure_endpoint(self, request: EndpointRequest) -> None:
        """Make the API's address answer for the control plane slots."""
        self._provider.ensure_endpoint(request.cluster, request.slots)

    @activity.defn(name=names.BOOT_MACHINE)
    def boot(self, request: MachineRequest) -> MachineRequests:
        """Make a machine exist, wait until it has booted, and return its public keys.

        A new one that is silent is switched off and on once. Raises ``StepError`` with MachineNotReady when it
        takes too long, and with MachineFailed when its boot fails or another instance than was made answers.
        """
        cluster_id, name = request.cluster.cluster_id, request.machine.name
        facts = self._provider.ensure_machine(request.cluster, request.machine, request.slots)
        self._await_boot(request, facts)
        result = self._provider.run_command(cluster_id, name, REQUESTS_COMMAND)
        if result.exit_status:
            raise _told(ErrorCode.MACHINE_NOT_READY, f"machine {name} gave no requests: {result.stderr.strip()}")
        requests = MachineRequests.model_validate_json(result.stdout)
        if requests.instance_id != facts.instance_id:
            raise StepError(ErrorCode.MACHINE_FAILED, f"another instance answers as machine {name}")
        return requests

    @activity.defn(name=names.INSTALL_MACHINE)
    def install(self, request: InstallRequest) -> MachineObservation:
        """Hand a machine its certificates and sealed secrets, and have it take them over and start.

        Doesn't wait for its services. Raises ``StepError`` with MachineFailed when one is seen to fail, and
        with MachineNotReady when the machine still lacks something.
        """
        cluster_id, name = request.cluster.cluster_id, request.machine.name
        if request.files:
            self._provider.write_files(cluster_id, name, request.files)
        result = self._provider.run_command(cluster_id, name, INSTALL_COMMAND)
        if result.exit_status:
            raise _told(ErrorCode.MACHINE_FAILED, f"machine {name} took nothing over: {result.stderr.strip()}")
        if result.stdout:
            raise StepError(
                ErrorCode.MACHINE_NOT_READY, f"machine {name} is not complete: {result.stdout.strip()}"
            )
        observed = self._provider.observe_machine(cluster_id, name)
        if failed := _failed_services(observed):
            raise self._failure(cluster_id, name, failed)
        return observed

    @activity.defn(name=names.RENEW_KEYS)
    def renew(self, request: RenewRequest) -> MachineRequests:
        """Have a machine make new keys, and return the requests with them; what it runs goes on with the old ones.

        Raises ``StepError`` with MachineNotReady when it makes none.
        """
        name = request.machine.name
        told = self._ask(request.cluster.cluster_id, name, [*RENEW_COMMAND, *request.names])
        return MachineRequests.model_validate_json(told)

    @activity.defn(name=names.FIND_CREDENTIALS)
    def find_credentials(self, request: CredentialsRequest) -> CredentialsSeen:
        """Return which client certificates a control plane machine's API server has met of late."""
        told = self._ask(request.cluster_id, request.machine, [*SEEN_COMMAND, *request.credentials])
        return CredentialsSeen(credentials=told.split())

    def _ask(self, cluster_id: str, name: str, command: list[str]) -> str:
        result = self._provider.run_command(cluster_id, name, command)
        if result.exit_status:
            what = " ".join(command[:2])
            raise _told(ErrorCode.MACHINE_NOT_READY, f"machine {name}: {what} fails: {result.stderr.strip()}")
        return result.stdout

    @activity.defn(name=names.OBSERVE_MACHINES)
    def observe(self, reference: MachinesReference) -> MachineObservations:
        """Look at machines, side by side: one that is silent takes its time."""
        looks = [partial(self._look, reference.cluster_id, name) for name in reference.names]
        return MachineObservations(items=gather(looks, LOOKS))

    @activity.defn(name=names.FENCE_MACHINE)
    def fence(self, reference: MachinesReference) -> None:
        """Take the power of machines; return when each has been seen stopped.

        Raises ``StepError`` with NotGone when another instance than is meant is there.
        """
        for name in reference.names:
            meant = reference.instances.get(name)
            self._provider.fence_machine(reference.cluster_id, name, meant, graceful=reference.graceful)
            seen = self._provider.observe_machine(reference.cluster_id, name)
            if not is_meant(seen.instance_id, meant):
                raise StepError(ErrorCode.NOT_GONE, f"machine {name} is another instance than was to be stopped")

    @activity.defn(name=names.DELETE_MACHINE)
    def delete(self, reference: MachinesReference) -> None:
        """Fence machines and destroy them with their state; return when each has been seen gone.

        A slot's volume stays, for the next machine of the slot.
        """
        for name in reference.names:
            meant = reference.instances.get(name)
            if reference.graceful:
                self._provider.fence_machine(reference.cluster_id, name, meant, graceful=True)
            self._provider.delete_machine(reference.cluster_id, name, meant)
            seen = self._provider.observe_machine(reference.cluster_id, name)
            if seen.state is not MachineState.ABSENT:
                raise StepError(ErrorCode.NOT_GONE, f"machine {name} is {seen.state} after its removal")

    @activity.defn(name=names.DELETE_MACHINES)
    def delete_all(self, reference: ClusterReference) -> None:
        """Destroy all machines, the endpoint and the volumes of a cluster."""
        self._provider.delete_all(reference.cluster_id)

    @activity.defn(name=names.LIST_MACHINE_LEFTOVERS)
    def list_left(self, reference: ClusterReference) -> Leftovers:
        """List what exists of a cluster, or of all when the id is empty."""
        return Leftovers(items=self._provider.list_left(reference.cluster_id))

    def _look(self, cluster_id: str, name: str) -> MachineObservation:
        """Look at a machine; one that can't answer for itself must not hide the others."""
        try:
            return self._provider.observe_machine(cluster_id, name)
        except StepError as error:
            if error.code is not ErrorCode.MACHINE_NOT_READY:
                raise
            return MachineObservation(name=name, state=MachineState.BOOTING)

    def _await_boot(self, request: MachineRequest, facts: MachineFacts) -> None:
        """Return when the machine is up. One whose services fail has booted: that is for later steps to tell."""
        cluster_id, name = request.cluster.cluster_id, facts.name
        began = time.monotonic()
        silent = facts.created
        while True:
            observed = self._provider.observe_machine(cluster_id, name)
            if observed.instance_id != facts.instance_id:
                raise StepError(ErrorCode.MACHINE_FAILED, f"another instance answers as machine {name}")
            if observed.state is MachineState.UP or _failed_services(observed):
                return
            if observed.state is MachineState.FAILED:
                raise self._failure(cluster_id, name, ["boot"])
            silent = silent and not observed.services
            waited = time.monotonic() - began
            if waited > self._patience.boot:
                raise StepError(ErrorCode.MACHINE_NOT_READY, f"machine {name} has not booted in {waited:.0f} s")
            if silent and waited > self._patience.silent:
                log.warning("switching a machine off and on that says nothing", machine=name)
                self._provider.fence_machine(cluster_id, name, facts.instance_id)
                self._provider.ensure_machine(request.cluster, request.machine, request.slots)
                silent = False
            time.sleep(self._patience.poll)

    def _failure(self, cluster_id: str, name: str, programs: list[str]) -> StepError:
        """Say what the machine's logs say of programs that failed."""
        told = self._provider.run_command(cluster_id, name, [*EXPLAIN_COMMAND, *programs]).stdout.splitlines()
        return _told(ErrorCode.MACHINE_FAILED, f"machine {name} fails: {'; '.join(told)}")


def _told(otherwise: ErrorCode, message: str) -> StepError:
    """Return the error whose code is what a machine's own words in ``message`` mean, or else ``otherwise``."""
    codes = (code for words, code in _TOLD.items() if words in message.lower())
    return StepError(next(codes, otherwise), message)


def _failed_services(observed: MachineObservation) -> list[str]:
    return [name for name, state in observed.services.items() if state == "failed"]
