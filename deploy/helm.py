"""``just helm``: helm as it checks and installs the chart, built from pinned modules."""

import os
import sys
from pathlib import Path

from deploy.binaries import BinariesError, Part, build, cache
from deploy.binaries.part import PACKING_COMMANDS
from deploy.binaries.progress import Report, to_stderr

HELM = Part(name="helm", version="4.3.1")


def helm(report: Report) -> Path:
    """Return helm, built if it isn't there. Raises BinariesError when it can't be."""
    return cache.ensure(build.bundle(HELM, PACKING_COMMANDS[HELM.name]), report)[HELM.name]


if __name__ == "__main__":
    try:
        os.execv(helm(to_stderr), ["helm", *sys.argv[1:]])  # noqa: S606
    except BinariesError as error:
        sys.exit(f"error: {error}")
