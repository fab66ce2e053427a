"""Which hypervisor this is."""

import os
import socket


def hypervisor_name() -> str:
    """Return the name of this hypervisor in the inventory: its host name unless another is set."""
    return os.environ.get("GIANTNETES_HYPERVISOR_NAME") or socket.gethostname().partition(".")[0].lower()
