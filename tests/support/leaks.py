"""Looks for secrets where none may be: histories, logs, process arguments, world-readable files.

Secrets are collected where they rightly live (machines' state, Vault's key store, login files); each is
searched for raw, in base64 (at any alignment) and as JSON would escape it.
"""

import base64
import json
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from google.protobuf.json_format import MessageToDict
from temporalio.client import Client

PEM_BODY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+([A-Za-z0-9+/=\s]+?)-----END")
MIN_LENGTH = 16


@dataclass(frozen=True)
class Secret:
    """A secret by a name that may be printed, and its characters."""

    name: str
    text: str

    def forms(self) -> list[bytes]:
        """Return what to search for."""
        raw = self.text.encode()
        escaped = json.dumps(self.text)[1:-1].encode()
        return [raw, escaped, *_base64_forms(raw), *_base64_forms(escaped)]


def _base64_forms(raw: bytes) -> list[bytes]:
    """Return the characters that are the same whatever stands before and after, for the three alignments."""
    forms = []
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        start = 0 if shift == 0 else 4
        forms.append(encoded[start : len(encoded) - 4].rstrip(b"="))
    return forms


def secrets_in_pem(name: str, text: str) -> list[Secret]:
    """Return each private key in a text by 40 characters of its second line, which no line break divides."""
    bodies = [match.split() for match in PEM_BODY.findall(text)]
    return [Secret(name, (lines[1] if len(lines) > 1 else lines[0])[:40]) for lines in bodies]


def collect(state: Path) -> list[Secret]:
    """Return all secrets below a stack's state folder: private keys, login files, seal and recovery keys."""
    found: list[Secret] = []
    for path in (path for path in state.rglob("*") if path.is_file() and path.stat().st_size < 1_000_000):
        name = str(path.relative_to(state))
        data = path.read_bytes()
        text = data.decode(errors="ignore")
        if "temporal/" in name or "/log/" in name or name.startswith("logs/"):
            continue
        found += secrets_in_pem(name, text)
        if "approles" in name:
            found += [Secret(name, value) for key, value in json.loads(text).items() if key == "secret_id"]
        if re.search(r"(seal|recovery)[^/]*$", name) and MIN_LENGTH <= len(data.strip()) <= 200:
            found += [Secret(name, text.strip())] if text.isprintable() or text.strip().isprintable() else []
        found += [Secret(name, value) for value in re.findall(r"^\s*secret: (\S{16,})$", text, re.MULTILINE)]
    return list({secret.text: secret for secret in found}.values())


def search(secrets: list[Secret], place: str, data: bytes) -> list[str]:
    """Return one line for each secret found in a place's bytes."""
    return [f"{secret.name} in {place}" for secret in secrets if any(form in data for form in secret.forms())]


async def histories(client: Client) -> list[tuple[str, bytes]]:
    """Return every history of the namespace, as JSON with the payloads' bytes decoded beside it."""
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


def processes(state: Path) -> list[tuple[str, bytes]]:
    """Return the arguments of every process that belongs to a state folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "pid"]):
        arguments = "\0".join(process.info["cmdline"] or [])
        if str(state) in arguments:
            found.append((f"arguments of process {process.info['pid']}", arguments.encode()))
    return found


def files(state: Path) -> list[tuple[str, bytes]]:
    """Return logs, and every file that others may read: by its own mode and that of all folders above it."""
    found = []
    for path in (path for path in state.rglob("*") if path.is_file()):
        name = str(path.relative_to(state))
        is_log = "/log/" in name or name.startswith("logs/")
        if is_log or path.stat().st_mode & stat.S_IROTH:
            found.append((f"file {name}", path.read_bytes()))
    return found


async def leaks(state: Path, client: Client) -> list[str]:
    """Return every leak of a stack, one line each; raises ``AssertionError`` when there is nothing to look for."""
    secrets = collect(state)
    places = [*await histories(client), *processes(state), *files(state)]
    assert secrets, "no secrets collected: the search would prove nothing"
    assert places, "no places to search"
    return [line for place, data in places for line in search(secrets, place, data)]
