"""The simulated world: an SQLite file that outlives every worker.

One call is one transaction, so a worker killed in the middle of a call has either made something or not. What
must not exist twice has a unique key: making it again is an error, never a second one.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from api.errors import ErrorCode
from contracts.errors import StepError
from nodes.machine.store import private_folder

BUSY_SECONDS = 30.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value REAL NOT NULL);
CREATE TABLE IF NOT EXISTS machines (
    cluster_id TEXT NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL, instance_id TEXT NOT NULL UNIQUE,
    address TEXT NOT NULL UNIQUE, is_on INTEGER NOT NULL, booted_at REAL NOT NULL, PRIMARY KEY (cluster_id, name));
CREATE TABLE IF NOT EXISTS endpoints (cluster_id TEXT PRIMARY KEY, address TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS volumes (cluster_id TEXT NOT NULL, slot TEXT NOT NULL, PRIMARY KEY (cluster_id, slot));
CREATE TABLE IF NOT EXISTS objects (cluster_id TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (cluster_id, name));
CREATE TABLE IF NOT EXISTS files (
    cluster_id TEXT NOT NULL, machine TEXT NOT NULL, folder TEXT NOT NULL, name TEXT NOT NULL,
    content TEXT NOT NULL, PRIMARY KEY (cluster_id, machine, folder, name));
CREATE TABLE IF NOT EXISTS tombstones (cluster_id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS faults (
    id INTEGER PRIMARY KEY AUTOINCREMENT, operation TEXT NOT NULL, kind TEXT NOT NULL, seconds REAL NOT NULL);
CREATE TABLE IF NOT EXISTS answers (operation TEXT NOT NULL, subject TEXT NOT NULL, answer TEXT NOT NULL,
    PRIMARY KEY (operation, subject));
CREATE TABLE IF NOT EXISTS journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, effect TEXT NOT NULL, kind TEXT NOT NULL,
    cluster_id TEXT NOT NULL, name TEXT NOT NULL);
"""


class World:
    """The file at ``path``, made when it is first used, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        """Make the file and its tables if they aren't there."""
        self.path = path
        private_folder(path.parent)
        path.touch(mode=0o600)
        with closing(self._connect()) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_SCHEMA)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give a connection within a transaction that is committed at the end, or undone by an exception.

        Raises ``StepError``: DiskFull, or ProviderUnavailable when SQLite can't do its work for another reason.
        """
        try:
            with closing(self._connect()) as database:
                database.execute("BEGIN IMMEDIATE")
                try:
                    yield database
                    database.execute("COMMIT")
                except BaseException:
                    if database.in_transaction:  # SQLite itself has undone it when the disk is full
                        database.execute("ROLLBACK")
                    raise
        except sqlite3.OperationalError as error:
            full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            code = ErrorCode.DISK_FULL if full else ErrorCode.PROVIDER_UNAVAILABLE
            raise StepError(code, f"the simulated world {self.path}: {error}") from error

    def journal(self, cluster_id: str = "") -> list[sqlite3.Row]:
        """Return what was created and deleted, oldest first: of one cluster, or of all."""
        with self.transaction() as database:
            return database.execute(
                "SELECT at, effect, kind, cluster_id, name FROM journal WHERE ? IN ('', cluster_id) ORDER BY id",
                (cluster_id,),
            ).fetchall()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA synchronous = NORMAL")
        return database


def note(database: sqlite3.Connection, effect: str, kind: str, cluster_id: str, name: str) -> None:
    """Write an effect ("created", "deleted") into the journal, which nothing is ever removed from."""
    database.execute(
        "INSERT INTO journal (at, effect, kind, cluster_id, name) VALUES (?, ?, ?, ?, ?)",
        (time.time(), effect, kind, cluster_id, name),
    )
