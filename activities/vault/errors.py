"""From what hvac and requests raise to ``StepError``: the one place that decides what an error means."""

from collections.abc import Iterator
from contextlib import contextmanager

from hvac import exceptions
from requests import RequestException, Timeout

from api.errors import ErrorCode
from contracts.errors import StepError

_PUBLIC_ENGINES = ("pki/", "sys/mounts")
"""Paths whose error texts hold names only; those of other engines may quote what was sent."""


@contextmanager
def vault_errors(doing: str) -> Iterator[None]:
    """Turn errors of hvac and requests into ``StepError``. ``doing`` says what was asked of which path.

    The original is not chained: its texts and its request may hold what must not be in a history.
    """
    try:
        yield
    except (exceptions.VaultError, RequestException) as error:
        raise translate(error, doing) from None


def translate(error: Exception, doing: str) -> StepError:
    """Return the ``StepError`` for an error of hvac or requests (Vault: HTTP status codes of the API)."""
    if isinstance(error, RequestException):
        reason = "no answer in time" if isinstance(error, Timeout) else "no connection"
        return StepError(ErrorCode.VAULT_UNAVAILABLE, f"Vault: {doing}: {reason}")
    text = " ".join(getattr(error, "errors", None) or [])
    if "no space left on device" in text:
        return StepError(ErrorCode.DISK_FULL, f"Vault: {doing}: the disk of Vault's storage is full")
    if isinstance(error, exceptions.VaultDown) and "sealed" in text:
        return StepError(ErrorCode.VAULT_SEALED, f"Vault: {doing}: Vault is sealed")
    if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized):
        return StepError(ErrorCode.VAULT_DENIED, f"Vault: {doing}: permission denied")
    if isinstance(error, exceptions.InvalidRequest | exceptions.InvalidPath):
        why = text[:300] if doing.partition(" ")[2].startswith(_PUBLIC_ENGINES) else ""
        return StepError(ErrorCode.INTERNAL, f"Vault: {doing}: refused: {why or 'the request is not valid'}")
    return StepError(ErrorCode.VAULT_UNAVAILABLE, f"Vault: {doing}: answered with {type(error).__name__}")
