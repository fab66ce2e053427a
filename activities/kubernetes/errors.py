"""From what the client libraries raise to ``StepError``: the one place that decides what an error means."""

import json
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from api.errors import ErrorCode
from contracts.errors import StepError

E = TypeVar("E", bound=BaseException)

_ALLOCATED = re.compile(r"spec\.clusterIPs?(\[\d+\])?|spec\.ports\[\d+\]\.nodePort")
"""Fields of a Service that the API server allots: ours are right, so one that is refused is taken."""


_HOST_CODES = {
    ErrorCode.API_NOT_READY: ErrorCode.HOST_API_UNAVAILABLE,
    ErrorCode.API_DENIED: ErrorCode.HOST_API_DENIED,
}


@contextmanager
def guest_errors(doing: str) -> Iterator[None]:
    """Turn errors of the Kubernetes client, urllib3, ssl and json into ``StepError``.

    ``doing`` names the request in the message. Texts of servers are not copied, only their enumerated
    reasons: a response may quote what was sent, and the original is not chained for the same reason.
    """
    try:
        yield
    except (ApiException, HTTPError, OSError) as error:
        raise _translate(error, doing) from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise StepError(ErrorCode.API_NOT_READY, f"{doing}: the answer was cut short or is no JSON") from None


@contextmanager
def host_errors(doing: str) -> Iterator[None]:
    """Do the same for requests to the host cluster, whose troubles are other people's."""
    try:
        with guest_errors(doing):
            yield
    except StepError as error:
        code = _HOST_CODES.get(error.code, error.code)
        raise StepError(code, error.message.replace("the cluster's CA", "the host cluster's CA")) from None


def _translate(error: Exception, doing: str) -> StepError:
    tls = _find(error, ssl.SSLError)
    if tls is not None:
        return _tls_error(tls, doing)
    if isinstance(error, ApiException):
        return _status_error(error, doing)
    cause = _find(error, OSError)
    reason = (cause.strerror if cause is not None else None) or type(error).__name__
    return StepError(ErrorCode.API_NOT_READY, f"{doing}: no answer ({reason})")


def _find(error: BaseException | None, kind: type[E]) -> E | None:
    """Return the first error of a kind among the error, its arguments and what it was raised from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, kind):
            return error
        inner = next((part for part in error.args if isinstance(part, BaseException)), None)
        error = inner or error.__cause__ or error.__context__
    return None


def _tls_error(error: ssl.SSLError, doing: str) -> StepError:
    """Tell a refusal (RFC 8446, section 6.2: an alert) and a server of another CA from a broken connection."""
    reason = error.reason or type(error).__name__
    if reason == "CERTIFICATE_VERIFY_FAILED":
        text = "the server's certificate is not for this address or not of the cluster's CA"
        return StepError(ErrorCode.API_DENIED, f"{doing}: {text}")
    if "ALERT" in reason:
        return StepError(ErrorCode.API_DENIED, f"{doing}: the server refused our certificate ({reason})")
    return StepError(ErrorCode.API_NOT_READY, f"{doing}: no TLS connection ({reason})")


def _status_error(error: ApiException, doing: str) -> StepError:
    reason, fields = _kubernetes_status(error.body)
    message = f"{doing}: {error.status} {reason}".rstrip() + (f" ({fields})" if fields else "")
    if error.status in {401, 403}:
        return StepError(ErrorCode.API_DENIED, message)
    if error.status == 422 and fields and all(map(_ALLOCATED.fullmatch, fields.split(", "))):
        held = "another object has it, or a request that was cut short: that is freed within a quarter of an hour"
        return StepError(ErrorCode.API_NOT_READY, f"{message}: {held}")
    if error.status == 429 or error.status >= 500:
        return StepError(ErrorCode.API_NOT_READY, message)
    return StepError(ErrorCode.INTERNAL, message)


def _kubernetes_status(body: str | None) -> tuple[str, str]:
    """Return reason and faulty fields of a ``Status`` (Kubernetes API conventions), empty when it is none."""
    try:
        status: Any = json.loads(body or "")
        causes = (status.get("details") or {}).get("causes") or []
    except (ValueError, AttributeError):
        return "", ""
    return str(status.get("reason", "")), ", ".join(sorted({str(cause.get("field")) for cause in causes}))
