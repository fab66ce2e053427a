"""How tasks log in to Vault: each as itself, with what lies in a file that is read anew each time."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hvac import exceptions

from api.errors import ErrorCode
from contracts.errors import StepError


class Login(Protocol):
    """A way for tasks to log in."""

    def log_in(self, vault: Any, task: str) -> Mapping[str, Any]:
        """Return Vault's answer to the login of ``task``: ``client_token``, ``lease_duration`` and so on.

        ``vault`` is hvac's client. Raises ``StepError`` with VAULT_DENIED for a refusal, and when there is nothing
        to log in with; else what hvac raises.
        """


@dataclass(frozen=True)
class AppRoles(Login):
    """One AppRole for each task: files ``<task>.json`` of ``folder``, each with ``role_id`` and ``secret_id``."""

    folder: Path

    def log_in(self, vault: Any, task: str) -> Mapping[str, Any]:
        """Log in with the file of ``task`` (Vault: AppRole auth method)."""
        role_id, secret_id = self._read(self.folder / f"{task}.json")
        return _answer(task, lambda: vault.auth.approle.login(role_id, secret_id, use_token=False))

    @staticmethod
    def _read(file: Path) -> tuple[str, str]:
        try:
            stored = json.loads(file.read_text())
            return stored["role_id"], stored["secret_id"]
        except (OSError, ValueError, KeyError) as error:
            reason = f"the login file {file} can't be used ({type(error).__name__})"
            raise StepError(ErrorCode.VAULT_DENIED, reason) from None


@dataclass(frozen=True)
class ServiceAccount(Login):
    """The service account of a pod, with a role for each task, at a mount of Vault.

    ``token`` is the file that the kubelet projects the account's token into, and replaces before it ends.
    """

    token: Path
    mount: str

    def log_in(self, vault: Any, task: str) -> Mapping[str, Any]:
        """Log in to the role ``task`` (Vault: Kubernetes auth method)."""
        try:
            token = self.token.read_text().strip()
        except OSError as error:
            reason = f"the service account's token {self.token} can't be read ({type(error).__name__})"
            raise StepError(ErrorCode.VAULT_DENIED, reason) from None
        kubernetes = vault.auth.kubernetes
        return _answer(task, lambda: kubernetes.login(task, token, use_token=False, mount_point=self.mount))


def _answer(task: str, ask: Callable[[], Any]) -> Mapping[str, Any]:
    try:
        answer: Mapping[str, Any] = ask()["auth"]
    except (exceptions.InvalidRequest, exceptions.Forbidden, exceptions.Unauthorized):
        # Told apart from a request that is denied, which is a matter of policies.
        raise StepError(ErrorCode.VAULT_DENIED, f"Vault refused the login of {task}") from None
    return answer
