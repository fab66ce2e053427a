"""Programs that tell the hypervisor's kernel what to do (iproute2, nftables)."""

import subprocess

from api.errors import ErrorCode
from contracts.errors import StepError

SECONDS = 30
"""They take a few milliseconds; who hangs would keep a lock."""


def run(*command: str, text: str = "") -> str:
    """Run a program in the current network namespace, with ``text`` as its input; return what it prints.

    Raises PROVIDER_UNAVAILABLE, with the command and its reason, when it can't be run, refuses, or hangs.
    """
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise StepError(ErrorCode.PROVIDER_UNAVAILABLE, f"{command[0]} does not end in {SECONDS} s") from None
    except OSError as error:
        raise StepError(ErrorCode.PROVIDER_UNAVAILABLE, f"{command[0]} can't be run: {error.strerror}") from error
    if done.returncode:
        refused = f"`{' '.join(command)}` is refused: {done.stderr.strip()}"
        raise StepError(ErrorCode.PROVIDER_UNAVAILABLE, refused)
    return done.stdout
