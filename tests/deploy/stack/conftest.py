"""State folders of their own for tests of the local stack, on ports that nobody uses."""

import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.stack import Ports, Stack, layout, supervisord
from deploy.stack.files import write_private
from deploy.stack.model import description
from deploy.stack.ports import FALLBACK, is_free


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


def _describe(state: Path) -> Stack:
    """Return a stack that is described but not started, none of whose ports is one of the usual ones."""
    free = (port for port in random.sample(FALLBACK, len(FALLBACK)) if is_free(port))
    ports = Ports.model_validate({name: next(free) for name in Ports.model_fields})
    socket = state / "supervisor" / "supervisor.sock"
    write_private(description(state), json.dumps({"ports": ports.model_dump(), "supervisor_socket": str(socket)}))
    return layout.ensure(state)


@pytest.fixture
def state() -> Iterator[Path]:
    with _new_state() as folder:
        yield folder


@pytest.fixture
def stack(state: Path) -> Stack:
    return _describe(state)


@pytest.fixture(scope="module")
def shared_stack() -> Iterator[Stack]:
    """Yield a stack for all tests of a module, for those that leave it as they found it."""
    with _new_state() as folder:
        yield _describe(folder)
