"""What it takes to get the parts that are missing: known in advance, so that a build doesn't fail half-way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.binaries import golang
from deploy.binaries.part import Part
from deploy.binaries.resolve import missing
from deploy.paths import cache_dir

BUILD_MEMORY_GIB = 4.5
"""While the largest packages of Kubernetes compile side by side."""
BUILD_CACHE_GIB = 4.0
MODULES_GIB = 1.0
BINARIES_GIB = 1.0
"""For the downloaded archive or the build's own files, and the executables."""


@dataclass(frozen=True)
class Cost:
    """What getting ``parts`` takes: memory, and room on disk by folder; neither when nothing is missing."""

    parts: Sequence[Part] = ()
    memory_gib: float = 0.0
    disk_gib: Mapping[Path, float] = field(default_factory=dict)


def cost_of(parts: Sequence[Part]) -> Cost:
    """Return what it takes to get those of ``parts`` that are not in the cache.

    Of Kubernetes something is always built, because nobody publishes the node. etcd takes little either way.
    """
    wanted = missing(parts)
    if not wanted:
        return Cost()
    binaries = cache_dir() / "binaries"
    if all(part.name != "kubernetes" for part in wanted):
        return Cost(wanted, disk_gib={binaries: BINARIES_GIB})
    compiled, modules = golang.caches()
    return Cost(
        wanted, BUILD_MEMORY_GIB, {compiled: BUILD_CACHE_GIB, modules: MODULES_GIB, binaries: BINARIES_GIB}
    )
