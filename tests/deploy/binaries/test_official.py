"""Published binaries: taken only with the right SHA-256, and only from a site that answers in time."""

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.binaries import BinariesError, Part, cache, official
from deploy.binaries.errors import UnreachableError
from deploy.binaries.part import OFFICIAL, architecture
from tests.deploy.binaries.support import ETCD, KUBERNETES, Site, publish_etcd, publish_kubernetes, sha256


def test_kubernetes_is_taken_with_its_published_digests(site: Site, said: list[str]) -> None:
    digests = publish_kubernetes(site)
    found = cache.ensure(official.bundle(KUBERNETES), said.append)
    assert found.keys() == set(OFFICIAL["kubernetes"])
    assert found["kubectl"].read_bytes() == b"kubectl" * 1000
    source = json.loads((found["kubectl"].parent / "manifest.json").read_text())["source"]
    assert all(f"{file} sha256:{digest}" in source for file, digest in digests.items())
    assert said[0] == f"downloading kubernetes 1.37.2 from {site.url}: usually less than a minute"


def test_pinned_digests_are_what_counts(site: Site, said: list[str]) -> None:
    digests = publish_kubernetes(site)
    pinned = Part(name="kubernetes", version="1.37.2", digests=digests)
    cache.ensure(official.bundle(pinned), said.append)
    assert not [path for path in site.asked if path.endswith(".sha256")]


def test_etcd_is_taken_out_of_its_archive(site: Site, said: list[str]) -> None:
    publish_etcd(site)
    found = cache.ensure(official.bundle(ETCD), said.append)
    assert {command: path.read_text() for command, path in found.items()} == {"etcd": "etcd", "etcdctl": "etcdctl"}
    assert sorted(path.name for path in found["etcd"].parent.iterdir()) == ["etcd", "etcdctl", "manifest.json"]


def wrong_pin(site: Site) -> Part:
    publish_kubernetes(site)
    file = f"bin/linux/{architecture()}/kube-scheduler"
    return Part(name="kubernetes", version="1.37.2", digests={file: sha256(b"another")})


def tampered_file(site: Site) -> Part:
    publish_kubernetes(site)
    site.files[f"/v1.37.2/bin/linux/{architecture()}/kubectl"] += b"!"
    return KUBERNETES


def tampered_archive(site: Site) -> Part:
    site.files[f"/v3.7.3/{publish_etcd(site)}"] += b"!"
    return ETCD


def no_digest(site: Site) -> Part:
    publish_etcd(site)
    site.files["/v3.7.3/SHA256SUMS"] = b"<html>welcome to this hotel's network</html>"
    return ETCD


@pytest.mark.parametrize("spoil", [wrong_pin, tampered_file, tampered_archive, no_digest])
def test_what_does_not_match_its_digest_is_refused(
    spoil: Callable[[Site], Part], site: Site, said: list[str], cache_folder: Path
) -> None:
    part = spoil(site)
    with pytest.raises(BinariesError, match="SHA-256") as refusal:
        cache.ensure(official.bundle(part), said.append)
    assert not isinstance(refusal.value, UnreachableError), "no other way may be tried silently"
    assert not [path for path in cache_folder.iterdir() if path.is_dir()]


@pytest.mark.parametrize(("part", "publish"), [(KUBERNETES, publish_kubernetes), (ETCD, publish_etcd)])
def test_a_site_answers_when_it_has_the_version(part: Part, publish: Callable[[Site], object], site: Site) -> None:
    assert not official.answers(part)
    publish(site)
    assert official.answers(part)


@pytest.mark.usefixtures("no_site")
def test_a_site_that_refuses_does_not_answer() -> None:
    started = time.monotonic()
    assert not official.answers(KUBERNETES)
    assert time.monotonic() - started < official.ANSWER_WITHIN_S


def test_a_silent_site_costs_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(official, "ANSWER_WITHIN_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setitem(official.SITES, "kubernetes", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        assert not official.answers(KUBERNETES)
        assert time.monotonic() - started < 2


def test_a_download_that_breaks_off_is_no_refusal(site: Site, said: list[str]) -> None:
    publish_kubernetes(site)
    del site.files[f"/v1.37.2/bin/linux/{architecture()}/kube-scheduler"]
    with pytest.raises(UnreachableError, match="kube-scheduler"):
        cache.ensure(official.bundle(KUBERNETES), said.append)
