"""Activities that speak to the APIs of guests and of the host, and to etcd where those must not be believed."""

from collections.abc import Callable
from typing import Any

from activities.kubernetes.guest import GuestActivities
from activities.kubernetes.health import GuestHealth
from activities.kubernetes.host import host_activities
from activities.kubernetes.identity import ClientIdentity, Identities
from activities.probing import Prober

__all__ = [
    "ClientIdentity",
    "GuestActivities",
    "Identities",
    "guest_activities",
    "guest_probes",
    "host_activities",
]


def guest_probes(identities: Identities) -> list[Callable[..., Any]]:
    """Return the activities for a worker that polls the queue ``contracts.queues.probes``."""
    return [Prober(GuestHealth(identities).look).probe_api]


def guest_activities(identities: Identities) -> list[Callable[..., Any]]:
    """Return the activities for a worker that polls the queue ``contracts.queues.kubernetes``."""
    guest = GuestActivities(identities)
    return [
        guest.await_api,
        guest.ensure_access,
        guest.ensure_addons,
        guest.await_nodes,
        guest.verify_cluster,
        guest.verify_serving,
        guest.drain_node,
        guest.uncordon_node,
    ]
