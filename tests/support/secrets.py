"""The real secrets of a stack, read where they rightly live, for the search for leaks."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import hvac
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from activities.simulated.world import World
from activities.vault.paths import ENCRYPTION, KV, SERVICE_ACCOUNT, secret_path
from deploy.stack import Stack, hostpki, openbao

PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+([A-Za-z0-9+/=\s]+?)-----END [A-Z ]*PRIVATE KEY-----")
ENCRYPTION_KEY = re.compile(r"^\s*-?\s*secret: (\S{16,})$", re.MULTILINE)
IN_A_LINE = 40
"""Characters of a key's second line: few enough to stay together wherever its lines are broken anew."""


class Kind(StrEnum):
    """What a secret is for."""

    MACHINE_KEY = "key of a machine"
    CLUSTER_KEY = "key of a cluster in Vault"
    HOST_KEY = "key of the host cluster"
    USER_KEY = "key in a kubeconfig"
    LOGIN = "login of a worker"
    SEAL_KEY = "seal key"
    RECOVERY_KEY = "recovery key"
    VAULT_TOKEN = "token of Vault"
    POD_TOKEN = "token of a service account"


@dataclass(frozen=True)
class Secret:
    """A secret with a name that may be printed, and the bytes that give it away, any of them."""

    kind: Kind
    name: str
    values: tuple[bytes, ...]

    def __str__(self) -> str:
        """Name it."""
        return f"{self.kind} {self.name}"

    def forms(self) -> set[bytes]:
        """Return what to search for: as it is, as JSON escapes it, in hex, and in base64 of either alphabet."""
        found: set[bytes] = set()
        for value in self.values:
            written = (
                {value, json.dumps(value.decode(errors="ignore"))[1:-1].encode()} if value.isascii() else {value}
            )
            standard = {form for text in written for form in _base64_forms(text)}
            found |= written | standard | {form.translate(_URL_SAFE) for form in standard}
            found |= {value.hex().encode(), value.hex().upper().encode()}
        return found


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _base64_forms(raw: bytes) -> Iterator[bytes]:
    """Return the characters that are the same whatever stands before and after, for the three alignments."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        start = 0 if shift == 0 else 4
        yield encoded[start : len(encoded) - 4].rstrip(b"=")


def in_pem(kind: Kind, name: str, text: str) -> list[Secret]:
    """Return each private key in a text: by a part of one line of its PEM, and by the number that it is."""
    return [Secret(kind, name, (_line(block.group(1)), _number(block.group(0)))) for block in PEM.finditer(text)]


def _line(body: str) -> bytes:
    lines = body.split()
    return lines[min(1, len(lines) - 1)][:IN_A_LINE].encode()


def _number(pem: str) -> bytes:
    key = load_pem_private_key(pem.encode(), None)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")
    assert isinstance(key, rsa.RSAPrivateKey)
    number = key.private_numbers().d
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def of_stack(stack: Stack, vault: hvac.Client) -> list[Secret]:
    """Return the keys, logins and tokens of the stack's own services; ``vault`` has a root token."""
    seal, recovery = (openbao.folder(stack) / name for name in ("seal.key", "recovery.json"))
    found = [
        Secret(Kind.SEAL_KEY, seal.name, (seal.read_bytes(),)),
        *_recovery(json.loads(recovery.read_text())["recovery_key"]),
        Secret(Kind.VAULT_TOKEN, "root", (vault.token.encode(),)),
    ]
    for task in openbao.TASKS:
        login = json.loads(stack.approle_file(task).read_text())
        token = hvac.Client(url=stack.vault_address, token="").auth.approle.login(**login)["auth"]["client_token"]
        found.append(Secret(Kind.LOGIN, task, (login["secret_id"].encode(),)))
        found.append(Secret(Kind.VAULT_TOKEN, task, (token.encode(),)))
    for path in hostpki.pki(stack).iterdir():
        found += in_pem(Kind.HOST_KEY, path.name, path.read_text())
    return found


def _recovery(key: str) -> list[Secret]:
    """Return the recovery key, which OpenBao gives in base64, as text and as bytes."""
    return [Secret(Kind.RECOVERY_KEY, "recovery.json", (key.encode(), base64.b64decode(key)))]


def of_cluster(stack: Stack, vault: hvac.Client, cluster_id: str) -> list[Secret]:
    """Return the keys and tokens on a cluster's machines, and its keys in Vault."""
    return [
        *_on_local_machines(stack.state / "machines" / cluster_id),
        *_on_simulated_machines(stack, cluster_id),
        *_in_vault(vault, cluster_id),
    ]


def _on_local_machines(folder: Path) -> Iterator[Secret]:
    for path in folder.glob("*/state/**/*"):
        if path.is_file():
            yield from _in_file(Kind.MACHINE_KEY, str(path.relative_to(folder)), path.read_text())
    for path in folder.glob("*/root/tmp/*/pods/*/volumes/*/*/token"):
        yield Secret(Kind.POD_TOKEN, path.parts[-4], (path.read_bytes(),))


def _on_simulated_machines(stack: Stack, cluster_id: str) -> Iterator[Secret]:
    query = "SELECT machine, name, content FROM files WHERE cluster_id = ?"
    with World(stack.state / "simulated" / "world.db").transaction() as database:
        rows = database.execute(query, (cluster_id,)).fetchall()
    for row in rows:
        yield from _in_file(Kind.MACHINE_KEY, f"{row['machine']}/{row['name']}", row["content"])


def _in_file(kind: Kind, name: str, text: str) -> Iterator[Secret]:
    yield from in_pem(kind, name, text)
    for value in ENCRYPTION_KEY.findall(text):
        yield Secret(Kind.CLUSTER_KEY, name, (value.encode(), base64.b64decode(value)))


def _in_vault(vault: Any, cluster_id: str) -> Iterator[Secret]:
    store = vault.secrets.kv.v2
    for name in (SERVICE_ACCOUNT, ENCRYPTION):
        path = secret_path(cluster_id, name)
        found = store.read_secret_version(path, mount_point=KV, raise_on_deleted_version=True)
        for value in found["data"]["data"].values():
            yield from in_pem(Kind.CLUSTER_KEY, path, value) or [
                Secret(Kind.CLUSTER_KEY, path, (value.encode(), base64.b64decode(value)))
            ]


def in_kubeconfig(path: Path) -> list[Secret]:
    """Return the keys in a kubeconfig."""
    users = yaml.safe_load(path.read_text())["users"]
    keys = [base64.b64decode(user["user"]["client-key-data"]).decode() for user in users]
    return [secret for key in keys for secret in in_pem(Kind.USER_KEY, path.name, key)]
