"""Vault or OpenBao as one task sees it: a thin, typed edge around hvac, which is untyped."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import hvac
import requests
from hvac import exceptions
from requests.adapters import HTTPAdapter

from activities.vault.errors import vault_errors
from activities.vault.login import Login
from activities.vault.paths import KV

T = TypeVar("T")

TIMEOUT_SECONDS = (5.0, 10.0)
"""Longest waits for a connection, and for each part of an answer."""

MAX_STRINGS = 500
"""OpenBao takes requests of at most 1000 strings, keys included (max_request_json_strings, Listener ``tcp``)."""

_WHOLE = "json"
_POOL = 32
_NO_TOKEN = ""
_MOUNT_TAKEN = "path is already in use"
_ROOT_TAKEN = "issuer name already in use"
_VERSION_MISMATCH = "check-and-set"


@dataclass(frozen=True)
class Record:
    """A value in the KV store with its version, which a check-and-set write names."""

    data: Mapping[str, Any]
    version: int


@dataclass(frozen=True)
class Signed:
    """A signed certificate, PEM, with its serial number in hex with colons and its end."""

    certificate: str
    serial: str
    expires_at: datetime


class VaultClient:
    """Requests of one task, logged in as that. Safe for use by many threads.

    Every method raises ``StepError`` with one of the codes of Vault, or Internal for a request that Vault
    finds wrong. Nothing is tried again here but a request whose token had expired or was revoked.
    """

    def __init__(self, address: str, login: Login, task: str) -> None:
        """Log in as ``task`` with the first request. hvac reads CAs that aren't public from VAULT_CACERT."""
        self._login, self._task = login, task
        self._hvac = hvac.Client(url=address, token=_NO_TOKEN, timeout=TIMEOUT_SECONDS)
        _prepare(self._hvac.session)
        self._lock = threading.Lock()
        self._login_due = 0.0

    def read(self, path: str) -> Record | None:
        """Return what is at a path of the KV store, None when nothing is."""
        with vault_errors(f"read {KV}/{path}"):
            try:
                answer = self._call(
                    lambda vault: vault.secrets.kv.v2.read_secret_version(
                        path, mount_point=KV, raise_on_deleted_version=True
                    )
                )
            except exceptions.InvalidPath:
                return None
        data = answer["data"]["data"]
        return Record(
            json.loads(data[_WHOLE]) if set(data) == {_WHOLE} else data, answer["data"]["metadata"]["version"]
        )

    def write(self, path: str, data: Mapping[str, Any], version: int | None) -> bool:
        """Write to the KV store when the newest version there is ``version``, 0 for none; say whether it was.

        With None it is written whatever is there. More than ``MAX_STRINGS`` are kept as one string of JSON.
        """
        with vault_errors(f"write {KV}/{path}"):
            try:
                self._call(
                    lambda vault: vault.secrets.kv.v2.create_or_update_secret(
                        path, _fitting(data), cas=version, mount_point=KV
                    )
                )
            except exceptions.InvalidRequest as error:
                return _unless(error, _VERSION_MISMATCH)
        return True

    def keys(self, folder: str) -> list[str]:
        """Return the names in a folder of the KV store; those of folders end with a slash."""
        with vault_errors(f"list {KV}/{folder}"):
            try:
                answer = self._call(lambda vault: vault.secrets.kv.v2.list_secrets(folder, mount_point=KV))
            except exceptions.InvalidPath:
                return []
        return list(answer["data"]["keys"])

    def destroy(self, path: str) -> None:
        """Destroy all versions at a path of the KV store, and its metadata. Nothing there is fine."""
        with vault_errors(f"destroy {KV}/{path}"):
            self._call(lambda vault: vault.secrets.kv.v2.delete_metadata_and_all_versions(path, mount_point=KV))

    def mounts(self) -> list[str]:
        """Return the paths of all engines, each with a slash at its end."""
        with vault_errors("list sys/mounts"):
            answer = self._call(lambda vault: vault.sys.list_mounted_secrets_engines())
        return list(answer["data"])

    def mount_authority(self, mount: str, description: str, max_lease_ttl: str) -> None:
        """Mount a PKI engine; one that is there already is fine."""
        with vault_errors(f"mount {mount}"):
            try:
                self._call(
                    lambda vault: vault.sys.enable_secrets_engine(
                        "pki", path=mount, description=description, config={"max_lease_ttl": max_lease_ttl}
                    )
                )
            except exceptions.InvalidRequest as error:
                _unless(error, _MOUNT_TAKEN)

    def unmount(self, mount: str) -> None:
        """Remove an engine with all that it keeps. Nothing there is fine."""
        with vault_errors(f"unmount {mount}"):
            self._call(lambda vault: vault.sys.disable_secrets_engine(mount))

    def authority_certificate(self, mount: str) -> str | None:
        """Return the certificate of the CA in a mount, PEM, None when it has none or is not there."""
        with vault_errors(f"read {mount}/ca/pem"):
            try:
                answer = self._call(lambda vault: vault.secrets.pki.read_ca_certificate(mount_point=mount))
            except exceptions.InvalidPath:
                return None
        return f"{answer.strip()}\n" if answer else None

    def generate_root(self, mount: str, common_name: str, params: Mapping[str, object]) -> None:
        """Make a CA whose key never leaves Vault. One with the same ``issuer_name`` there already is fine."""
        with vault_errors(f"generate {mount}/root"):
            try:
                self._call(
                    lambda vault: vault.secrets.pki.generate_root(
                        "internal", common_name, extra_params=dict(params), mount_point=mount
                    )
                )
            except exceptions.InvalidRequest as error:
                _unless(error, _ROOT_TAKEN)

    def write_role(self, mount: str, name: str, params: Mapping[str, object]) -> None:
        """Make a role of a CA what ``params`` say."""
        with vault_errors(f"write {mount}/roles/{name}"):
            self._call(
                lambda vault: vault.secrets.pki.create_or_update_role(
                    name, extra_params=dict(params), mount_point=mount
                )
            )

    def delete_role(self, mount: str, name: str) -> None:
        """Remove a role of a CA. None there is fine."""
        with vault_errors(f"delete {mount}/roles/{name}"):
            self._call(lambda vault: vault.secrets.pki.delete_role(name, mount_point=mount))

    def sign(self, mount: str, role: str, request: str, common_name: str, params: Mapping[str, object]) -> Signed:
        """Have a PKCS #10 request (PEM) signed at a role."""
        with vault_errors(f"sign {mount}/{role}"):
            answer = self._call(
                lambda vault: vault.secrets.pki.sign_certificate(
                    role, request, common_name, extra_params=dict(params), mount_point=mount
                )
            )
        data = answer["data"]
        return Signed(
            certificate=f"{data['certificate'].strip()}\n",
            serial=data["serial_number"],
            expires_at=datetime.fromtimestamp(data["expiration"], UTC),
        )

    def _call(self, request: Callable[[Any], Any]) -> Any:
        """Make a request; when it is denied, log in and make it once more: tokens expire and are revoked."""
        token = self._log_in()
        try:
            return request(self._hvac)
        except exceptions.Forbidden:
            self._log_in(denied=token)
            return request(self._hvac)

    def _log_in(self, denied: str = _NO_TOKEN) -> str:
        """Return a token that is not ``denied`` and has a fifth of its life left, of a new login when due."""
        with self._lock:
            if self._hvac.token == denied or time.monotonic() >= self._login_due:
                auth = self._login.log_in(self._hvac, self._task)
                self._login_due = time.monotonic() + 0.8 * (auth["lease_duration"] or float("inf"))
                self._hvac.token = auth["client_token"]
            return str(self._hvac.token)


def _prepare(session: requests.Session) -> None:
    """Take no proxy and no login from the environment, and keep connections for many threads."""
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_POOL))


def _unless(error: Exception, expected: str) -> bool:
    """Return False for the expected refusal; raise any other."""
    if expected not in str(error):
        raise error
    return False


def _fitting(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is to be stored of a record."""
    return {_WHOLE: json.dumps(data)} if _strings(data) > MAX_STRINGS else dict(data)


def _strings(value: object) -> int:
    """Return how many strings there are in a JSON value, keys included."""
    if isinstance(value, Mapping):
        return sum(1 + _strings(each) for each in value.values())
    if isinstance(value, list):
        return sum(map(_strings, value))
    return int(isinstance(value, str))
