"""Activities that speak to a guest cluster's API, and to its etcd where the API must not be believed."""

from collections.abc import Callable
from typing import Any

from activities.kubernetes.guest import GuestActivities
from activities.kubernetes.identity import ClientIdentity, Identities

__all__ = ["ClientIdentity", "GuestActivities", "Identities", "guest_activities"]


def guest_activities(identities: Identities) -> list[Callable[..., Any]]:
    """Return the activities for a worker that polls the queue ``contracts.queues.kubernetes``."""
    guest = GuestActivities(identities)
    return [
        guest.await_api,
        guest.ensure_access,
        guest.ensure_addons,
        guest.await_nodes,
        guest.verify_cluster,
        guest.drain_node,
        guest.uncordon_node,
    ]
