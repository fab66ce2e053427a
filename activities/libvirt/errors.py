"""What can go wrong on a hypervisor, in the words of ``api.errors``."""

import contextlib
import errno
from collections.abc import Iterator

import filelock
import libvirt

from api.errors import ErrorCode
from contracts.errors import StepError


@contextlib.contextmanager
def step_errors(what: str) -> Iterator[None]:
    """Turn errors of libvirt and the file system into ``StepError``; ``what`` was being done."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise StepError(_code(error), f"{what}: libvirt says: {error.get_error_message()}") from error
    except filelock.Timeout as error:
        raise StepError(
            ErrorCode.PROVIDER_UNAVAILABLE, f"{what}: someone else holds the lock {error.lock_file} for too long"
        ) from error
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        code = ErrorCode.DISK_FULL if full else ErrorCode.PROVIDER_UNAVAILABLE
        raise StepError(code, f"{what}: {error.strerror or error}: {error.filename or 'unnamed'}") from error


def is_missing(error: libvirt.libvirtError) -> bool:
    """Return whether an error says that what was asked for isn't there."""
    return error.get_error_code() in {
        libvirt.VIR_ERR_NO_DOMAIN,
        libvirt.VIR_ERR_NO_NETWORK,
        libvirt.VIR_ERR_NO_STORAGE_POOL,
        libvirt.VIR_ERR_NO_STORAGE_VOL,
    }


def _code(error: libvirt.libvirtError) -> ErrorCode:
    message = str(error.get_error_message()).lower()
    if "no space left on device" in message:
        return ErrorCode.DISK_FULL
    if "cannot allocate memory" in message:
        return ErrorCode.CAPACITY
    return ErrorCode.PROVIDER_UNAVAILABLE
