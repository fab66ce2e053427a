"""Waiting for something to become true."""

import time
from collections.abc import Callable

POLL_S = 0.05


def until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Return True as soon as ``condition`` holds, False when it has not after ``timeout_s`` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True
