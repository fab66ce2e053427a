"""State folders of their own for tests of the local stack, on ports that nobody uses."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.stack import Stack, supervisord
from tests.support.stack import describe


@contextmanager
def _new_state() -> Iterator[Path]:
    """Yield the path of this user's state folder, not made yet; at the end nothing of it is left running."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="g8s-") as parent:
        folder = Path(parent) / "state"
        patch.setenv("GIANTNETES_STATE", str(folder))
        try:
            yield folder
        finally:
            if stack := Stack.read(folder):
                supervisord.end(stack, print)
                shutil.rmtree(folder)


@pytest.fixture
def state() -> Iterator[Path]:
    with _new_state() as folder:
        yield folder


@pytest.fixture
def stack(state: Path) -> Stack:
    return describe(state)


@pytest.fixture(scope="module")
def shared_stack() -> Iterator[Stack]:
    """Yield a stack for all tests of a module, for those that leave it as they found it."""
    with _new_state() as folder:
        yield describe(folder)
