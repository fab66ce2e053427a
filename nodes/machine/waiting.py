"""Starting a program when what it needs is there, as ``ExecStartPre`` does for systemd."""

import contextlib
import http.client
import os
import ssl
import time
from collections.abc import Iterator
from typing import NoReturn
from urllib.parse import urlsplit

INTERVAL_SECONDS = 0.05
LONG_INTERVAL_SECONDS = 1.0
SHARE = 50
"""A wait is prolonged by no more than this part of itself: what waits for long, and beside others, asks seldom."""

TIMEOUT_SECONDS = 2.0


def start_when_ready(url: str, authority: str, argv: list[str]) -> NoReturn:
    """Become the program ``argv`` as soon as ``url`` answers 200."""
    _start_when(url, authority, argv, any_answer=False)


def start_when_answered(url: str, authority: str, argv: list[str]) -> NoReturn:
    """Become the program ``argv`` as soon as ``url`` answers anything."""
    _start_when(url, authority, argv, any_answer=True)


def _start_when(url: str, authority: str, argv: list[str], *, any_answer: bool) -> NoReturn:
    """Wait, for ever: the supervisor shows the wait, and ends it.

    ``authority`` is the file with the CA that the server's certificate is checked against.
    """
    statuses, began = _statuses(url, authority), time.monotonic()
    while True:
        status = next(statuses)
        if status == http.HTTPStatus.OK or (status and any_answer):
            os.execv(argv[0], argv)  # noqa: S606 - no shell, and the pid must stay
        time.sleep(pause(time.monotonic() - began))


def pause(waited: float, least: float = INTERVAL_SECONDS) -> float:
    """Return how many seconds to let pass before the next question, ``waited`` seconds after the first."""
    return max(least, min(waited / SHARE, LONG_INTERVAL_SECONDS))


def _statuses(url: str, authority: str) -> Iterator[int]:
    """Yield one answer's status after the other, on one connection while it lasts; 0 when there is no answer."""
    parts, context = urlsplit(url), None
    while True:
        try:
            context = context or ssl.create_default_context(cafile=authority)
            connection = http.client.HTTPSConnection(
                parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS, context=context
            )
            with contextlib.closing(connection):
                while True:
                    yield _status(connection, parts.path)
        except (OSError, http.client.HTTPException):
            yield 0


def _status(connection: http.client.HTTPConnection, path: str) -> int:
    connection.request("GET", path)
    with connection.getresponse() as response:
        response.read()
        return response.status
