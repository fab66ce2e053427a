"""The container images that a release disk carries, put together from programs that were built or are pinned.

A machine finds every image that the add-ons need on its own disk: a cluster comes up without any registry.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from api.release import Release
from deploy.binaries import Part, build, cache, golang, tool
from deploy.binaries.errors import BinariesError
from deploy.binaries.part import NODE_COMMANDS
from deploy.binaries.progress import Report
from deploy.node_image.archive import ContainerImage
from deploy.node_image.build import run

PROXY = "/usr/local/bin/kube-proxy"
TRAEFIK = "/usr/local/bin/traefik"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def container_images(
    release: Release, commands: Path, system: Path, scratch: Path, report: Report
) -> list[ContainerImage]:
    """Return the images of ``release``.

    ``commands`` is the folder with the release's programs, ``system`` the tree of the node image, which gives
    libraries and the ``nft`` that kube-proxy calls. Raises BinariesError.
    """
    coredns = Part(name="coredns", version=release.coredns.version)
    built = cache.ensure(build.bundle(coredns, NODE_COMMANDS["coredns"]), report)
    trust = {AUTHORITIES: system / AUTHORITIES.lstrip("/")}
    proxy = {PROXY: commands / "kube-proxy", **_with_libraries(system, "/usr/sbin/nft")}
    images = [
        ContainerImage(release.pause.reference(prefix=""), "/pause", {"/pause": _pause(release, scratch, report)}),
        ContainerImage(release.coredns.reference(), "/coredns", {"/coredns": built["coredns"], **trust}),
        ContainerImage(release.kube_proxy.reference(), PROXY, proxy, {"PATH": "/usr/sbin"}),
    ]
    ingress = {TRAEFIK: tool("traefik"), **trust}
    return images + [ContainerImage(image.reference(), TRAEFIK, ingress) for image in release.ingress]


def _pause(release: Release, scratch: Path, report: Report) -> Path:
    """Compile the program that holds a pod's namespaces, from the C file in Kubernetes' own module."""
    part = Part(name="kubernetes", version=release.kubernetes.version)
    go = golang.toolchain(build.go_line(part), report)
    asked = [str(go.command), "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"]
    told = subprocess.check_output(asked, cwd=part.recipe, env=dict(go.environment), text=True)
    source, program = Path(told.strip(), "build", "pause", "linux", "pause.c"), scratch / "pause"
    version = f"-DVERSION=v{release.pause.version}"
    run(["gcc", "-Os", "-Wall", "-static", version, "-o", str(program), str(source)], scratch)
    run(["strip", str(program)], scratch)
    return program


def _with_libraries(system: Path, program: str) -> dict[str, Path]:
    """Return a program of ``system`` with the shared libraries that it is linked with, by path."""
    told = subprocess.run(["chroot", str(system), "ldd", program], capture_output=True, text=True, check=False)
    if told.returncode:
        raise BinariesError(f"ldd can't tell the libraries of {program}: {told.stderr.strip()}")
    return {path: _resolved(system, path) for path in [program, *_paths(told.stdout)]}


def _paths(listed: str) -> Iterator[str]:
    """Yield the paths in what ldd(1) prints: ``libc.so.6 => /lib/… (0x…)`` and ``/lib64/ld-linux… (0x…)``."""
    yield from re.findall(r"(/\S+) \(0x", listed)


def _resolved(system: Path, path: str) -> Path:
    """Follow links within ``system``: one that begins with a slash would lead out of it."""
    for _ in range(8):
        found = system / path.lstrip("/")
        folder = found.parent
        if not found.is_symlink():
            return found
        target = found.readlink()
        path = str(target) if target.is_absolute() else str(folder.relative_to(system) / target)
    raise BinariesError(f"{path} of the node image is a circle of links")
