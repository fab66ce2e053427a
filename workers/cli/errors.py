"""What goes wrong, as one or two lines: what happened, and what to do next. Exit status 1, never a traceback."""

import asyncio
import contextlib
import functools
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, ParamSpec

from pydantic import ValidationError
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError, RPCStatusCode

from contracts.converter import describe
from contracts.errors import StepError
from deploy.binaries import BinariesError
from deploy.stack import StackError
from workers.cli.console import errors

P = ParamSpec("P")

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it: 128 and the number of SIGINT."""

START = "Start the local stack with `just up`, or set TEMPORAL_ADDRESS to another server."


class CliError(Exception):
    """A command can't do what was asked: ``message`` says what happened, ``hint`` what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class NoAnswerError(CliError):
    """Temporal or its worker did not answer; asking again may help."""


def command(function: Callable[P, Coroutine[Any, Any, int]]) -> Callable[P, None]:
    """Make a command of typer out of a coroutine function; the process ends with the status that it returns."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        leave(reporting(lambda: asyncio.run(function(*args, **kwargs)), "stopped"))

    return run


def leave(status: int) -> NoReturn:
    """End the process at once, with all that was printed.

    Threads of Temporal's client may still be at work for a request that nobody waits for any more. An interpreter
    that is taken down under them hangs or aborts, so it is not taken down.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(status)


def reporting(action: Callable[[], int], interrupted: str) -> int:
    """Return the exit status that ``action`` returns, or that of what it raises, which is shown in words.

    ``interrupted`` is said after Ctrl-C.
    """
    try:
        return action()
    except KeyboardInterrupt:
        errors().print(f"\n{interrupted}")
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):
        return 1  # Nobody reads any more, as after `| head`; rich exits then.
    except (CliError, StackError, StepError, BinariesError, ValidationError, TemporalError, OSError) as error:
        known = explained(error)
        errors().print(f"error: {known.message}")
        if known.hint:
            errors().print(known.hint)
        return 1


def explained(error: Exception) -> CliError:
    """Return what an error means to a person."""
    match error:
        case CliError():
            return error
        case StackError() | StepError():
            return CliError(error.message, error.hint)
        case ValidationError():
            return CliError("; ".join(describe(error)), "Correct it and try again.")
        case TemporalError():
            return _temporal(error)
        case OSError():
            what = f"{error.strerror}: {error.filename}" if error.filename else str(error)
            return CliError(what, "Mend that and try again.")
    return CliError(str(error), "")


def _temporal(error: TemporalError) -> CliError:
    cause = error.__cause__
    rpc = error if isinstance(error, RPCError) else cause if isinstance(cause, RPCError) else None
    if rpc is None:
        return CliError(str(cause or error), "Look at the workflow in Temporal's Web UI.")
    if rpc.status is RPCStatusCode.UNAVAILABLE:
        return NoAnswerError("Temporal does not answer any more", START)
    if rpc.status in {RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED}:
        return NoAnswerError("Temporal did not answer in time", "Look whether all works with `just status`.")
    return CliError(
        f"Temporal refused: {rpc.message}", "Check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and the login."
    )
