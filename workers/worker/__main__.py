"""``python -m workers.worker``: the process that runs workflows and activities."""

import sys

from workers.worker.running import run
from workers.worker.settings import from_environment
from workers.worker.wiring import wanted_queues


def main() -> int:
    """Run a worker; returns the exit status."""
    settings = from_environment()
    return run(lambda meter: wanted_queues(settings, meter), settings.metrics_address, settings.health_address)


if __name__ == "__main__":
    sys.exit(main())
