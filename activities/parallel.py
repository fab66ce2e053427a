"""Requests that don't need each other, side by side within one activity."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")

WIDTH = 8


def gather(calls: Iterable[Callable[[], T]], width: int = WIDTH) -> list[T]:
    """Run calls in at most ``width`` threads and return their results in order.

    Raises the first error after all have ended. Each call sees the context variables of the caller, which hold
    its trace and the fields of its log lines.
    """
    with ThreadPoolExecutor(max_workers=width) as pool:
        futures = [pool.submit(copy_context().run, call) for call in calls]
    return [future.result() for future in futures]
