"""Which parts there are, and where each one's files are found."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api.release import Release
from deploy.binaries.errors import BinariesError

Name = Literal[
    "kubernetes",
    "etcd",
    "containerd",
    "runc",
    "cni",
    "flannel",
    "calico",
    "coredns",
    "ignition",
    "helm",
    "crane",
]

OFFICIAL: Mapping[str, tuple[str, ...]] = {
    "kubernetes": ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"),
    "etcd": ("etcd", "etcdctl"),
}
"""The commands of parts that are got from their project's site; kubernetes has ``hollow-node`` beside them."""

NODE_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "kubernetes": ("kubelet", "kube-proxy"),
    "containerd": ("containerd", "containerd-shim-runc-v2", "preload-images"),
    "runc": ("runc",),
    "cni": ("host-local", "loopback", "portmap"),
    "flannel": ("flannel",),
    "calico": ("calico", "calico-felix"),
    "coredns": ("coredns",),
    "ignition": ("ignition-validate",),
}
"""The commands of each part that only virtual machines need; Ignition's checks their configuration beforehand."""

PACKING_COMMANDS: Mapping[str, tuple[str, ...]] = {"helm": ("helm",), "crane": ("crane",)}
"""The commands of each part that only a container image and a chart are made with."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Part(BaseModel):
    """A part of a release: what, which version, and the digests known for its official files.

    ``digests`` maps an official file, by the end of its address ("bin/linux/amd64/kubectl",
    "etcd-v3.7.3-linux-amd64.tar.gz"), to its SHA-256 in hex. A file without one is checked against the digest
    published beside it.
    """

    model_config = ConfigDict(frozen=True)

    name: Name
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    digests: Mapping[str, str] = {}

    def __str__(self) -> str:
        """Return the part as people write it: ``kubernetes 1.37.2``."""
        return f"{self.name} {self.version}"

    @property
    def recipe(self) -> Path:
        """Return the folder with the part's ``go.mod``; BinariesError when this version has none."""
        folder = Path(__file__).parent / f"{self.name}-{self.version}"
        if (folder / "go.mod").is_file():
            return folder
        known = sorted(path.parent.name for path in folder.parent.glob(f"{self.name}-*/go.mod"))
        raise BinariesError(f"{self} is not among the pinned parts: choose one of {', '.join(known)}.")


def release_parts(release: Release) -> list[Part]:
    """Return what has to be fetched or built for a release."""
    return [
        Part(name="kubernetes", version=release.kubernetes.version, digests=release.kubernetes.sha256),
        Part(name="etcd", version=release.etcd.version, digests=release.etcd.sha256),
    ]


def architecture() -> str:
    """Return this machine's architecture in Go's words; BinariesError where no binaries are made for it."""
    system, machine = platform.system(), platform.machine()
    if system != "Linux" or machine not in _ARCHITECTURES:
        raise BinariesError(
            f"This machine is {system} {machine}, but binaries are made for Linux on "
            f"{' and '.join(_ARCHITECTURES)} only: use such a machine, or a virtual one."
        )
    return _ARCHITECTURES[machine]


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0))
