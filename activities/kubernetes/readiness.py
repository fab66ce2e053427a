"""Waiting until the API answers, at its endpoint and on each control plane machine."""

import re

from activities.kubernetes.client import Answer, KubernetesClient
from activities.kubernetes.waiting import patience, poll
from api.errors import ErrorCode
from contracts.errors import StepError

_FAILING_CHECK = re.compile(r"^\[-\](\S+)", re.MULTILINE)
"""A failing check in an answer of /readyz (Kubernetes: API health endpoints)."""


def await_ready(clients: list[KubernetesClient]) -> None:
    """Return when every API server says on /readyz that it is ready.

    Raises API_NOT_READY, naming failing checks or the last connection error of each server that is not, and
    at once API_DENIED when one has another CA or does not accept our certificate.
    """
    problems: list[str] = []

    def ready() -> bool | None:
        problems[:] = filter(None, map(_problem, clients))
        return None if problems else True

    if not poll(ready, patience()):
        raise StepError(ErrorCode.API_NOT_READY, "; ".join(problems))


def _problem(client: KubernetesClient) -> str:
    """Return what keeps a server from being ready, empty when nothing does."""
    try:
        answer = client.ask("GET", "/readyz")
    except StepError as error:
        if error.code is not ErrorCode.API_NOT_READY:
            raise
        return error.message
    if answer.status == 401:
        raise StepError(ErrorCode.API_DENIED, f"{client.url}: the API server does not accept our certificate")
    return "" if answer.status == 200 else f"{client.url}: {_explain(answer)}"


def _explain(answer: Answer) -> str:
    """Say in words why an answer of /readyz is not 200.

    403 comes from a server that has not made its default roles yet: one of them opens /readyz to everybody.
    """
    checks = _FAILING_CHECK.findall(answer.body)
    if checks:
        return f"failing checks: {', '.join(checks)}"
    return "default roles are missing" if answer.status == 403 else f"/readyz answers {answer.status}"
