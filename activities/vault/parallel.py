"""Requests that don't need each other, side by side within one activity."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")

_WIDTH = 8


def gather(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Run calls in a few threads and return their results in order; raises the first error after all ended.

    Each call sees the context variables of the caller, which hold its trace and the fields of its log lines.
    """
    with ThreadPoolExecutor(max_workers=max(1, min(_WIDTH, len(calls)))) as pool:
        futures = [pool.submit(copy_context().run, call) for call in calls]
    return [future.result() for future in futures]
