"""Days that last seconds, so that tests live through weeks: machines' certificates end and are renewed by them."""

from datetime import UTC, datetime, timedelta

import activities.plans
import planning.certificates
from activities.vault import roles
from api.cluster import ClusterSpec

VARIABLE = "GIANTNETES_TEST_DAY_SECONDS"
DAY = timedelta(days=1)
EPOCH = datetime.fromtimestamp(0, UTC)


def shrink(seconds: float) -> None:
    """Let a day last ``seconds`` in this process; lifetimes below a day, those of our own clients, stay."""
    short, lifetime = timedelta(seconds=seconds), roles._lifetime

    def rotation_time(_spec: ClusterSpec, _cluster_id: str, now: datetime) -> datetime:
        return now + short - (now - EPOCH) % short

    def short_lifetime(seconds: int) -> roles.Role:
        whole = timedelta(seconds=seconds)
        return lifetime(round((whole / DAY * short).total_seconds()) if whole >= DAY else seconds)

    setattr(roles, "_lifetime", short_lifetime)  # noqa: B010 - mypy wants no function assigned to
    setattr(planning.certificates, "DAY", short)  # noqa: B010
    for module in (planning.certificates, activities.plans):
        setattr(module, "rotation_time", rotation_time)  # noqa: B010
