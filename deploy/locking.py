"""Taking turns by a lock file, and saying so while another run has it."""

import contextlib
import time
from collections.abc import Callable, Iterator

from filelock import FileLock, Timeout

_POLL_S = 0.2


@contextlib.contextmanager
def taking_turns(lock: FileLock, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold ``lock``; the kernel drops it with the process, however that ends.

    While another has it, ``waiting`` is called again and again; what it raises ends the wait.
    """
    while not lock.is_locked:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            time.sleep(_POLL_S)
    try:
        yield
    finally:
        lock.release()
