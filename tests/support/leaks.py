"""Looks for secrets where none may be: histories, logs, process arguments, world-readable files.

Secrets are collected while what they belong to lives, and kept, so that the histories of what is gone are
searched for them too.
"""

import base64
import contextlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Set
from pathlib import Path

import hvac
import psutil
from google.protobuf.json_format import MessageToDict
from temporalio.client import Client

from deploy.stack import Stack, supervisord
from tests.support.secrets import Kind, Secret, in_kubeconfig, of_cluster, of_stack

Place = tuple[str, bytes]
"""What may be printed about a place, and what is there."""

GRAM = 8
SHAPES = {
    Kind.VAULT_TOKEN: re.compile(rb"\bs\.[A-Za-z0-9]{24}\b"),
    Kind.POD_TOKEN: re.compile(rb"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"),
}
"""What tokens look like: those that a worker holds in memory alone can't be collected."""


class Needles:
    """Secrets, made ready to be found: each in every form, by the groups of 8 bytes that are in it.

    A form of 15 bytes or more holds, wherever it begins, one of the groups that a place falls into. So each place
    is walked through once, however many secrets there are, and only what may be there is searched for.
    """

    def __init__(self, secrets: Iterable[Secret]) -> None:
        """Note every group of every form."""
        self._grams: dict[bytes, set[tuple[Secret, bytes]]] = {}
        for secret in secrets:
            for form in secret.forms():
                assert len(form) >= 2 * GRAM - 1, f"{secret} is too short to be found"
                for start in range(len(form) - GRAM + 1):
                    self._grams.setdefault(form[start : start + GRAM], set()).add((secret, form))

    def search(self, place: str, data: bytes) -> list[str]:
        """Return one line for each secret, and for each kind of token, found in a place."""
        groups = {data[start : start + GRAM] for start in range(0, len(data), GRAM)}
        suspects = {found for group in groups & self._grams.keys() for found in self._grams[group]}
        lines = {f"{secret} in {place}" for secret, form in suspects if form in data}
        lines |= {f"{kind} in {place}" for kind, shape in SHAPES.items() if shape.search(data)}
        return sorted(lines)


class LeakSearch:
    """Collects the secrets of a stack, and looks for them; ``vault`` has a root token."""

    def __init__(self, stack: Stack, vault: hvac.Client) -> None:
        """Collect those of the stack itself."""
        self._stack = stack
        self._vault = vault
        self.secrets = set(of_stack(stack, vault))
        self.clusters: set[str] = set()

    def collect(self, cluster_id: str, *kubeconfigs: Path) -> None:
        """Collect the secrets of a living cluster, and of those who may use it."""
        self.clusters.add(cluster_id)
        self.secrets |= set(of_cluster(self._stack, self._vault, cluster_id))
        self.secrets |= {secret for path in kubeconfigs for secret in in_kubeconfig(path)}

    async def leaks(self, *clients: Client) -> list[str]:
        """Return every leak, one line each; the histories are those of the namespaces of ``clients``."""
        told = [place for client in clients for place in await histories(client)]
        assert told, "there is no history to search"
        needles = Needles(self.secrets)
        places = [*told, *processes(self._stack), *files(self._stack.state)]
        return [line for place, data in places for line in needles.search(place, data)]

    async def check(self, *clients: Client, kinds: Set[Kind] = frozenset(Kind)) -> None:
        """See that there is no leak, after having seen that there was something of these kinds to look for."""
        assert kinds - {secret.kind for secret in self.secrets} == set()
        for kind, shape in SHAPES.items():
            values = [value for secret in self.secrets if secret.kind is kind for value in secret.values]
            assert [value for value in values if not shape.search(value)] == []
        assert await self.leaks(*clients) == []


async def histories(client: Client) -> list[Place]:
    """Return every history of a namespace, as JSON with the payloads' bytes decoded beside it."""
    found = []
    async for execution in client.list_workflows():
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        events = [MessageToDict(event) async for event in handle.fetch_history_events()]
        decoded = b"\n".join(base64.b64decode(data) for data in _payloads(events))
        found.append((f"history {execution.id}", json.dumps(events).encode() + b"\n" + decoded))
    return found


def _payloads(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("data"), str) and "metadata" in node:
            yield node["data"]
        for value in node.values():
            yield from _payloads(value)
    elif isinstance(node, list):
        for value in node:
            yield from _payloads(value)


def processes(stack: Stack) -> list[Place]:
    """Return the arguments of every process of a stack, guest machines' among them."""
    found = []
    for process in supervisord.marked(stack):
        try:
            arguments = "\0".join(process.cmdline()).encode()
        except psutil.NoSuchProcess:
            continue
        found.append((f"arguments of process {process.pid}", arguments))
    return found


def files(state: Path) -> list[Place]:
    """Return logs, and every file that others could read if they could enter the state folder."""
    found = []
    for folder, _, names in os.walk(state):
        for path in (Path(folder, name) for name in names):
            # What lives removes files meanwhile.
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and (_is_log(path.relative_to(state)) or _for_others(path, state)):
                    found.append((f"file {path.relative_to(state)}", path.read_bytes()))
    return found


def _is_log(path: Path) -> bool:
    return path.parts[0] == "logs" or path.parent.name == "log"


def _for_others(path: Path, state: Path) -> bool:
    between = path.parents[: len(path.relative_to(state).parts) - 1]
    return bool(path.stat().st_mode & stat.S_IROTH) and all(
        folder.stat().st_mode & stat.S_IXOTH for folder in between
    )
