"""Release files: readable, frozen, and about the modules that are built."""

import hashlib
import re
from pathlib import Path

import pytest

from api.release import BinaryPart, Release
from planning.releases import RELEASES, load_releases

RECIPES = Path(__file__).parents[2] / "deploy" / "binaries"
DIGESTS = {
    "1.36.3-1": "e228672dfb68c464dc03b5510595e19fd728b353e87f26545de6aa7329292ec6",
    "1.37.2-1": "29b18089ceb1faddfcf7218481c1e3a3f94a58b2b10e6634a06f796070c08891",
}


def test_releases_are_frozen() -> None:
    """A published release is never edited: a change is a new release with a new file."""
    found = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in RELEASES.glob("*.yaml")}
    assert found == DIGESTS


@pytest.mark.parametrize("release", load_releases().values(), ids=str)
def test_sums_are_those_that_builds_are_checked_against(release: Release) -> None:
    for name, part in (("kubernetes", release.kubernetes), ("etcd", release.etcd)):
        assert go_sum(name, part) == part.sum


def go_sum(name: str, part: BinaryPart) -> str:
    """Return the sum in the part's go.sum."""
    text = (RECIPES / f"{name}-{part.version}" / "go.sum").read_text()
    match = re.search(rf"^{re.escape(part.module)} v{re.escape(part.version)} (h1:\S+)$", text, re.MULTILINE)
    assert match, f"{part.module} {part.version} is not in go.sum"
    return match[1]
