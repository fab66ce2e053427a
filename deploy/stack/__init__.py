"""The local stack: Temporal, OpenBao, a host cluster's API and the worker, on loopback, kept by one supervisord.

``up``, ``down`` and ``status`` are what ``just`` calls (``python -m deploy.stack``); ``load`` tells other programs
where everything is.
"""

from deploy.stack.errors import StackError
from deploy.stack.lifecycle import ServiceStatus, down, reset, start_supervisor, status, up
from deploy.stack.model import Ports, Stack, load

__all__ = [
    "Ports",
    "ServiceStatus",
    "Stack",
    "StackError",
    "down",
    "load",
    "reset",
    "start_supervisor",
    "status",
    "up",
]
