"""The container images that a release disk carries, put together from programs that were built or are pinned.

A machine finds every image that the add-ons need on its own disk: a cluster comes up without any registry.
"""

import subprocess
from pathlib import Path

from api.release import Release
from deploy.binaries import Part, build, cache, golang, tool
from deploy.binaries.part import NODE_COMMANDS
from deploy.binaries.progress import Report
from deploy.node_image.build import run
from deploy.node_image.unpacked import ContainerImage

TRAEFIK = "/usr/local/bin/traefik"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def container_images(release: Release, system: Path, scratch: Path, report: Report) -> list[ContainerImage]:
    """Return the images of ``release``.

    ``system`` is the tree of the node image, which gives the certificates of public CAs. Raises BinariesError.
    """
    program = cache.ensure(coredns(release), report)["coredns"]
    trust = {AUTHORITIES: system / AUTHORITIES.lstrip("/")}
    images = [
        ContainerImage(release.pause.reference(prefix=""), "/pause", {"/pause": _pause(release, scratch, report)}),
        ContainerImage(release.coredns.reference(), "/coredns", {"/coredns": program, **trust}),
    ]
    ingress = {TRAEFIK: tool("traefik"), **trust}
    return images + [ContainerImage(image.reference(), TRAEFIK, ingress) for image in release.ingress]


def coredns(release: Release) -> cache.Bundle:
    """Return the recipe of CoreDNS's program."""
    return build.bundle(Part(name="coredns", version=release.coredns.version), NODE_COMMANDS["coredns"])


def _pause(release: Release, scratch: Path, report: Report) -> Path:
    """Compile the program that holds a pod's namespaces, from the C file in Kubernetes' own module."""
    part = Part(name="kubernetes", version=release.kubernetes.version)
    go = golang.toolchain(report)
    asked = [str(go.command), "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"]
    told = subprocess.check_output(asked, cwd=part.recipe, env=dict(go.environment), text=True)
    source, program = Path(told.strip(), "build", "pause", "linux", "pause.c"), scratch / "pause"
    version = f"-DVERSION=v{release.pause.version}"
    run(["gcc", "-Os", "-Wall", "-static", version, "-o", str(program), str(source)], scratch)
    run(["strip", str(program)], scratch)
    return program
