"""What happens to machines in the world. Every function is an effect of one transaction."""

import sqlite3
import time
import uuid
from typing import Any

from activities.simulated.world import note
from api.errors import ErrorCode
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.machines import MachineFacts, MachinePlan, MachineRole, MachineState, is_meant

Database = sqlite3.Connection

ROOT, INCOMING, PKI, SECRETS, KEYS, RENEWED = "root", "incoming", "pki", "secrets", "keys", "renewed"
"""Folders of a machine. ``root`` is lost at each boot; ``renewed`` names keys that wait for their certificates."""


def find(database: Database, cluster_id: str, name: str) -> sqlite3.Row | None:
    """Return the row of a machine."""
    row: sqlite3.Row | None = database.execute(
        "SELECT * FROM machines WHERE cluster_id = ? AND name = ?", (cluster_id, name)
    ).fetchone()
    return row


def _instance(database: Database, cluster_id: str, name: str) -> str:
    row = find(database, cluster_id, name)
    return str(row["instance_id"]) if row else ""


def refuse_deleted(database: Database, cluster_id: str) -> None:
    """Raise CLUSTER_DELETED when the cluster has a tombstone."""
    if database.execute("SELECT 1 FROM tombstones WHERE cluster_id = ?", (cluster_id,)).fetchone():
        raise StepError(ErrorCode.CLUSTER_DELETED, f"cluster {cluster_id} has been deleted")


def ensure_endpoint(database: Database, cluster: ClusterContext) -> None:
    """Make the address in front of several slots."""
    refuse_deleted(database, cluster.cluster_id)
    made = database.execute(
        "INSERT INTO endpoints VALUES (?, ?) ON CONFLICT (cluster_id) DO NOTHING",
        (cluster.cluster_id, cluster.address(cluster.endpoint_host)),
    )
    if made.rowcount:
        note(database, "created", "endpoint", cluster.cluster_id, "endpoint")


def ensure_machine(database: Database, cluster: ClusterContext, machine: MachinePlan) -> MachineFacts:
    """Make a machine, with its slot's volume, unless it exists; switch it on unless it is."""
    refuse_deleted(database, cluster.cluster_id)
    if machine.has_data:
        _check_volume(database, cluster.cluster_id, machine.name)
    created = find(database, cluster.cluster_id, machine.name) is None
    if created:
        _create(database, cluster, machine)
    row = find(database, cluster.cluster_id, machine.name)
    assert row is not None  # noqa: S101 - made above, in the same transaction
    if not row["is_on"]:
        _switch_on(database, cluster.cluster_id, machine.name)
    return MachineFacts(name=machine.name, instance_id=row["instance_id"], address=row["address"], created=created)


def _check_volume(database: Database, cluster_id: str, slot: str) -> None:
    found = database.execute("SELECT 1 FROM volumes WHERE cluster_id = ? AND slot = ?", (cluster_id, slot))
    if not found.fetchone():
        raise StepError(ErrorCode.VOLUME_LOST, f"the volume of {slot} is not there any more")


def _create(database: Database, cluster: ClusterContext, machine: MachinePlan) -> None:
    identity, address = str(uuid.uuid4()), cluster.address(machine.host)
    try:
        database.execute(
            "INSERT INTO machines VALUES (?, ?, ?, ?, ?, 0, 0)",
            (cluster.cluster_id, machine.name, machine.role, identity, address),
        )
    except sqlite3.IntegrityError as error:
        raise StepError(ErrorCode.ADDRESS_IN_USE, f"{address} is taken by another machine") from error
    note(database, "created", "machine", cluster.cluster_id, machine.name)
    if machine.role is MachineRole.CONTROL_PLANE:
        made = database.execute(
            "INSERT INTO volumes VALUES (?, ?) ON CONFLICT DO NOTHING", (cluster.cluster_id, machine.name)
        )
        if made.rowcount:
            note(database, "created", "volume", cluster.cluster_id, machine.name)


def _switch_on(database: Database, cluster_id: str, name: str) -> None:
    setting = database.execute("SELECT value FROM settings WHERE name = 'boot_seconds'").fetchone()
    booted_at = time.time() + (setting["value"] if setting else 0.0)
    database.execute(
        "UPDATE machines SET is_on = 1, booted_at = ? WHERE cluster_id = ? AND name = ?",
        (booted_at, cluster_id, name),
    )
    database.execute(
        "DELETE FROM files WHERE cluster_id = ? AND machine = ? AND folder = ?", (cluster_id, name, ROOT)
    )


def observe(database: Database, cluster_id: str, name: str) -> dict[str, Any] | None:
    """Return a ``MachineObservation`` as JSON values, None when there is no machine."""
    row = find(database, cluster_id, name)
    if row is None:
        return None
    state = state_of(row)
    running = "running" if state is MachineState.UP and is_installed(database, row) else "stopped"
    return {"name": name, "state": state, "instance_id": row["instance_id"], "services": {"all": running}}


def state_of(row: sqlite3.Row) -> MachineState:
    """Return the state of a machine that exists."""
    if not row["is_on"]:
        return MachineState.STOPPED
    return MachineState.UP if time.time() >= row["booted_at"] else MachineState.BOOTING


def is_installed(database: Database, row: sqlite3.Row) -> bool:
    """Return whether a machine has certificates, and secrets where its role needs them."""
    folders = {PKI, SECRETS} if row["role"] == MachineRole.CONTROL_PLANE else {PKI}
    found = database.execute(
        "SELECT DISTINCT folder FROM files WHERE cluster_id = ? AND machine = ?", (row["cluster_id"], row["name"])
    )
    return folders <= {file["folder"] for file in found}


def switch_off(database: Database, cluster_id: str, name: str, instance_id: str | None = None) -> None:
    """Take a machine's power, unless it is another instance than the one that is meant."""
    if not is_meant(_instance(database, cluster_id, name), instance_id):
        return
    database.execute("UPDATE machines SET is_on = 0 WHERE cluster_id = ? AND name = ?", (cluster_id, name))


def delete_machine(database: Database, cluster_id: str, name: str, instance_id: str | None = None) -> None:
    """Remove a machine with its files; the volume of its slot stays, and another instance than is meant."""
    if not is_meant(_instance(database, cluster_id, name), instance_id):
        return
    database.execute("DELETE FROM files WHERE cluster_id = ? AND machine = ?", (cluster_id, name))
    gone = database.execute("DELETE FROM machines WHERE cluster_id = ? AND name = ?", (cluster_id, name))
    if gone.rowcount:
        note(database, "deleted", "machine", cluster_id, name)


def delete_all(database: Database, cluster_id: str) -> None:
    """Remove everything of a cluster and put up its tombstone."""
    database.execute("INSERT INTO tombstones VALUES (?) ON CONFLICT DO NOTHING", (cluster_id,))
    for item in list_left(database, cluster_id):
        note(database, "deleted", item["kind"], cluster_id, item["name"])
    for table in ("machines", "endpoints", "volumes", "files", "objects"):
        database.execute(f"DELETE FROM {table} WHERE cluster_id = ?", (cluster_id,))  # noqa: S608 - fixed names


def list_left(database: Database, cluster_id: str) -> list[dict[str, str]]:
    """Return what exists of one cluster, or of all, each as a ``Leftover`` in JSON values."""
    found = database.execute(
        "SELECT * FROM (SELECT 'machine' AS kind, name, cluster_id FROM machines"
        " UNION ALL SELECT 'endpoint', 'endpoint', cluster_id FROM endpoints"
        " UNION ALL SELECT 'volume', slot, cluster_id FROM volumes)"
        " WHERE ? IN ('', cluster_id) ORDER BY cluster_id, kind, name",
        (cluster_id,),
    )
    return [dict(row) for row in found]
