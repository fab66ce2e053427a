"""What can go wrong on this machine, in the words of ``api.errors``."""

import contextlib
import errno
from collections.abc import Iterator

import filelock

from activities.local.supervisor import SupervisionError, SupervisorDownError
from api.errors import ErrorCode
from contracts.errors import StepError


@contextlib.contextmanager
def step_errors(what: str) -> Iterator[None]:
    """Turn errors of the supervisor and the file system into ``StepError``; ``what`` was being done."""
    try:
        yield
    except SupervisorDownError as error:
        raise StepError(
            ErrorCode.PROVIDER_UNAVAILABLE, f"{what}: {error}; start the local stack with `just up`"
        ) from error
    except SupervisionError as error:
        raise StepError(ErrorCode.PROVIDER_UNAVAILABLE, f"{what}: {error}") from error
    except filelock.Timeout as error:
        raise StepError(
            ErrorCode.PROVIDER_UNAVAILABLE, f"{what}: someone else holds the lock {error.lock_file} for too long"
        ) from error
    except OSError as error:
        raise StepError(
            _code(error), f"{what}: {error.strerror or error}: {error.filename or 'unnamed'}"
        ) from error


def _code(error: OSError) -> ErrorCode:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return ErrorCode.DISK_FULL if full else ErrorCode.PROVIDER_UNAVAILABLE
