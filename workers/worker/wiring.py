"""Which queue gets which activities. The one place that knows all implementations."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from temporalio.common import MetricMeter

from activities.kubernetes import Identities, guest_activities, guest_probes, host_activities
from activities.local.provider import LocalProvider
from activities.local.supervisor import Supervisor
from activities.machines import machine_activities
from activities.plans import Planner
from activities.simulated.guest import simulated_guest_activities, simulated_probes
from activities.simulated.provider import SimulatedProvider
from activities.vault import (
    AppRoles,
    ServiceAccount,
    VaultSettings,
    inventory,
    vault_activities,
    worker_identities,
)
from api.release import Release
from contracts import queues
from deploy import binaries
from deploy.binaries import release_parts
from deploy.stack import Stack
from workers.worker.logins import MeteredLogin, host_login_end
from workers.worker.serving import QUICK, Queue, workflow_queue
from workers.worker.settings import Settings


class _Site:
    """The queues of one site by kind, with what they share in a process. Each needs only what its work needs."""

    def __init__(self, settings: Settings, meter: MetricMeter) -> None:
        self._settings = settings
        self._meter = meter
        self._name = settings.site
        vault = vault_settings(settings)
        self._vault = replace(vault, login=MeteredLogin(vault.login, meter))

    @cached_property
    def _identities(self) -> Identities:
        return worker_identities(self._vault)

    def workflows(self) -> list[Queue]:
        return [workflow_queue()]

    def planning(self) -> list[Queue]:
        planner = Planner(inventory(self._vault).standing)
        activities: list[Callable[..., Any]] = [planner.plan_operation, planner.plan_repair]
        return [Queue(queues.planning(self._name), activities, threads=QUICK)]

    def vault(self) -> list[Queue]:
        activities = vault_activities(self._vault, self._settings.quotas)
        return [Queue(queues.vault(self._name), activities, threads=QUICK)]

    def kubernetes(self) -> list[Queue]:
        return [Queue(queues.kubernetes(self._name, "local"), guest_activities(self._identities))]

    def probes(self) -> list[Queue]:
        return [Queue(queues.probes(self._name, "local"), guest_probes(self._identities), lasting=True)]

    def host(self) -> list[Queue]:
        activities = host_activities(self._settings.kubeconfig, host_login_end(self._meter))
        return [Queue(queues.HOST, activities)]

    def local(self) -> list[Queue]:
        provider = local_provider(self._settings.state)
        return [Queue(queues.provider(self._name, "local"), machine_activities(provider))]

    def simulated(self) -> list[Queue]:
        provider = SimulatedProvider(self._settings.state / "simulated" / "world.db")
        activities = [*machine_activities(provider), *simulated_guest_activities(provider)]
        return [
            Queue(queues.provider(self._name, "simulated"), activities, threads=QUICK),
            Queue(queues.probes(self._name, "simulated"), simulated_probes(provider), lasting=True),
        ]


KINDS: Mapping[str, Callable[[_Site], list[Queue]]] = {
    "workflows": _Site.workflows,
    "planning": _Site.planning,
    "vault": _Site.vault,
    "kubernetes": _Site.kubernetes,
    "probes": _Site.probes,
    "host": _Site.host,
    "local": _Site.local,
    "simulated": _Site.simulated,
}
"""Kinds of queues by the names that ``GIANTNETES_QUEUES`` has for them."""


def wanted_queues(settings: Settings, meter: MetricMeter = MetricMeter.noop) -> list[Queue]:
    """Return the queues that a worker is set to poll: all of a site that is one machine unless it names some.

    ``meter`` gets the metrics of the worker's own logins.
    Raises RuntimeError for a name that there isn't, and where something is missing that a queue needs.
    """
    if unknown := sorted(set(settings.queues) - KINDS.keys()):
        raise RuntimeError(f"GIANTNETES_QUEUES has no {', '.join(unknown)}: there are {', '.join(KINDS)}")
    site = _Site(settings, meter)
    return [queue for kind in KINDS if kind in (settings.queues or KINDS) for queue in KINDS[kind](site)]


def vault_settings(settings: Settings) -> VaultSettings:
    """Return how tasks log in to Vault; raises RuntimeError for a way that there isn't."""
    return VaultSettings(settings.vault_address, _login(settings))


def _login(settings: Settings) -> AppRoles | ServiceAccount:
    if settings.vault_auth == "approle":
        return AppRoles(settings.approle_dir)
    if settings.vault_auth == "kubernetes":
        return ServiceAccount(settings.vault_token_file, settings.vault_mount)
    raise RuntimeError(f"GIANTNETES_VAULT_AUTH is {settings.vault_auth}: it can be approle or kubernetes")


def local_provider(state: Path) -> LocalProvider:
    """Return the provider of the local stack in a state folder; raises RuntimeError when there is none."""
    stack = Stack.read(state)
    if stack is None:
        raise RuntimeError(f"there is no local stack in {state}: set it up with `just up`")
    supervisor = Supervisor(stack.supervisor_socket, stack.supervisor_lock)
    return LocalProvider(state, supervisor, stack.supervisor_socket, installed, binaries.tool("traefik"))


def installed(release: Release) -> Mapping[str, Path]:
    """Return the executables of a release that are in the cache; a worker never builds any."""
    return binaries.find(release_parts(release))
