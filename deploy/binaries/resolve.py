"""Which way each part is got: from the cache, from its project's site, or by building it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.binaries import build, cache, official
from deploy.binaries.errors import BinariesError, UnreachableError
from deploy.binaries.part import OFFICIAL, Part
from deploy.binaries.progress import to_stderr


def ensure(parts: Sequence[Part], report: Callable[[str], None] = to_stderr) -> dict[str, Path]:
    """Return the executables of ``parts`` by command name (``kube-apiserver``, ``etcd``, …).

    ``report`` gets plain sentences about what is being done and how long it takes; none when all is cached.
    BinariesError, with what to do, when a part can't be had. Two versions of a part need two calls.
    """
    names = [part.name for part in parts]
    if len(set(names)) < len(names):
        raise BinariesError("Two versions of one part have the same commands: ask for them one after the other.")
    found: dict[str, Path] = {}
    for part in parts:
        found |= _ensure(part, report)
    return found


def built(part: Part) -> cache.Bundle:
    """Return the recipe that builds all of a part that people may have from its site as well."""
    return build.bundle(part, (*OFFICIAL[part.name], *_own(part)))


def find(parts: Sequence[Part]) -> dict[str, Path]:
    """Return the executables of those of ``parts`` that are in the cache; nothing is fetched or built."""
    found: dict[str, Path] = {}
    for part in parts:
        own = _own(part)
        whole = cache.find(built(part))
        published = cache.find(official.bundle(part)) or {}
        node = cache.find(build.bundle(part, own)) or {} if own else {}
        found |= whole or {**published, **node}
    return found


def missing(parts: Sequence[Part]) -> list[Part]:
    """Return those of ``parts`` of which something would have to be fetched or built."""
    return [part for part in parts if not find([part]).keys() >= {*OFFICIAL[part.name], *_own(part)}]


def _own(part: Part) -> tuple[str, ...]:
    return (build.NODE,) if part.name == "kubernetes" else ()


def _ensure(part: Part, report: Callable[[str], None]) -> dict[str, Path]:
    own = _own(part)
    whole = built(part)
    if found := cache.find(whole):
        return found
    published = official.bundle(part)
    if cache.find(published) or official.answers(part):
        try:
            found = cache.ensure(published, report)
            return found | (cache.ensure(build.bundle(part, own), report) if own else {})
        except UnreachableError as error:
            report(f"{error}; building {part} instead")
    return cache.ensure(whole, report)
