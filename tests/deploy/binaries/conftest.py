"""Fixtures: a cache of its own, the projects' sites on loopback, and a stand-in for the ``go`` command."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.binaries import official
from tests.deploy.binaries.support import Site, stand_in_go


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; what is in it afterwards is below ``binaries``."""
    monkeypatch.setenv("GIANTNETES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "binaries"


@pytest.fixture
def said() -> list[str]:
    """What was reported: pass ``said.append``."""
    return []


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the PATH with a ``go`` that builds at once; files in it change its ways (``fail``, ``hang``)."""
    return stand_in_go(tmp_path / "go", "go1.26.8", monkeypatch)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The site of both projects."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    site = Site()
    for name in official.SITES:
        monkeypatch.setitem(official.SITES, name, site.url)
    yield site
    site.close()


@pytest.fixture
def no_site(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both projects' sites refuse connections."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in official.SITES:
        monkeypatch.setitem(official.SITES, name, "http://127.0.0.1:9")
