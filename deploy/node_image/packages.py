"""Lock files of images: each package of Debian with its version and the SHA-256 of its file."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy.binaries.errors import BinariesError


class DiffersError(BinariesError):
    """What is to be the same everywhere is not so here: the mirror's packages, or the bytes of an image."""


HERE = Path(__file__).parent
LOCK = HERE / "packages.lock"


@dataclass(frozen=True, order=True)
class Package:
    """A Debian package; ``sha256`` is that of its ``.deb`` file, in hexadecimal."""

    name: str
    version: str
    architecture: str
    sha256: str


@dataclass(frozen=True)
class Wanted:
    """What the image is made of: a suite of Debian, packages of it, and the Unix time that all files bear."""

    suite: str
    epoch: int
    packages: tuple[str, ...]


def wanted(folder: Path = HERE) -> Wanted:
    """Return what ``image.yaml`` of an image's folder says."""
    document = yaml.safe_load((folder / "image.yaml").read_text())
    return Wanted(document["suite"], document["epoch"], tuple(document["packages"]))


def read_lock(text: str) -> list[Package]:
    """Return the packages in a lock file's text: a line for each, name, version, architecture and digest."""
    lines = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return sorted(Package(*fields) for fields in lines)


def write_lock(packages: Iterable[Package], recipe: str = "node-image") -> str:
    """Return the text of a lock file that ``just RECIPE --update-lock`` writes."""
    lines = (f"{each.name} {each.version} {each.architecture} {each.sha256}\n" for each in sorted(packages))
    return f"# name version architecture sha256; written by `just {recipe} --update-lock`\n" + "".join(lines)


def read_index(text: str) -> list[Package]:
    """Return the packages in stanzas as ``apt-cache show`` prints them (deb822(5))."""
    found = []
    for stanza in text.strip().split("\n\n"):
        lines = (line.partition(": ") for line in stanza.splitlines() if not line.startswith(" "))
        fields = {key: value.strip() for key, _, value in lines}
        found.append(Package(fields["Package"], fields["Version"], fields["Architecture"], fields["SHA256"]))
    return sorted(found)


def differences(locked: Iterable[Package], found: Iterable[Package]) -> list[str]:
    """Return a sentence for each package that isn't what the lock file says; empty when all are."""
    before, after = ({each.name: each for each in packages} for packages in (locked, found))
    told = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is None and new is not None:
            told.append(f"{name} {new.version} is not in the lock file")
        elif new is None and old is not None:
            told.append(f"{name} {old.version} is in the lock file and was not installed")
        elif old and new and old.version != new.version:
            told.append(f"{name} is locked at {old.version}, and the mirror has {new.version}")
        elif old != new:
            told.append(f"{name} is another file of the same version")
    return told
