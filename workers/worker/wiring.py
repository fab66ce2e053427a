"""Which queue gets which activities. The one place that knows all implementations."""

from collections.abc import Mapping
from pathlib import Path

from activities.kubernetes import guest_activities, guest_probes, host_activities
from activities.local.provider import LocalProvider
from activities.local.supervisor import Supervisor
from activities.machines import machine_activities
from activities.plans import Planner
from activities.simulated.guest import simulated_guest_activities, simulated_probes
from activities.simulated.provider import SimulatedProvider
from activities.vault import VaultSettings, inventory, vault_activities, worker_identities
from api.release import Release
from contracts import queues
from deploy import binaries
from deploy.binaries import release_parts
from deploy.stack import Stack
from workers.worker.serving import QUICK, Queue, workflow_queue
from workers.worker.settings import Settings


def all_queues(settings: Settings) -> list[Queue]:
    """Return every queue of a site that is one machine: the local stack's."""
    site = settings.site
    vault = VaultSettings(settings.vault_address, settings.approle_dir)
    simulated = SimulatedProvider(settings.state / "simulated" / "world.db")
    identities = worker_identities(vault)
    planner = Planner(inventory(vault).standing)
    return [
        workflow_queue(),
        Queue(queues.planning(site), [planner.plan_operation, planner.plan_repair], threads=QUICK),
        Queue(queues.vault(site), vault_activities(vault, settings.quotas), threads=QUICK),
        Queue(queues.kubernetes(site, "local"), guest_activities(identities)),
        Queue(queues.probes(site, "local"), guest_probes(identities), lasting=True),
        Queue(queues.probes(site, "simulated"), simulated_probes(simulated), lasting=True),
        Queue(queues.HOST, host_activities(settings.kubeconfig)),
        Queue(queues.provider(site, "local"), machine_activities(_local_provider(settings.state))),
        Queue(
            queues.provider(site, "simulated"),
            [*machine_activities(simulated), *simulated_guest_activities(simulated)],
            threads=QUICK,
        ),
    ]


def _local_provider(state: Path) -> LocalProvider:
    stack = Stack.read(state)
    if stack is None:
        raise RuntimeError(f"there is no local stack in {state}: set it up with `just up`")
    supervisor = Supervisor(stack.supervisor_socket, stack.supervisor_lock)
    return LocalProvider(state, supervisor, stack.supervisor_socket, installed, binaries.tool("traefik"))


def installed(release: Release) -> Mapping[str, Path]:
    """Return the executables of a release that are in the cache; a worker never builds any."""
    return binaries.find(release_parts(release))
