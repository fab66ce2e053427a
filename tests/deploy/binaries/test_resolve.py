"""The way each part is got."""

from pathlib import Path

import pytest

from deploy.binaries import BinariesError, Part, ensure, golang, official, tool
from deploy.binaries.cost import Cost, cost_of
from deploy.binaries.part import architecture
from tests.deploy.binaries.support import (
    ETCD,
    KUBERNETES,
    Site,
    publish_etcd,
    publish_kubernetes,
    stand_in_go,
)

COMMANDS = {
    *("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "hollow-node"),
    *("etcd", "etcdctl"),
}


def built(path: Path) -> bool:
    return path.read_text().startswith("#!/bin/sh\necho ")


@pytest.mark.usefixtures("no_site", "go")
def test_without_the_sites_everything_is_built(said: list[str]) -> None:
    found = ensure([KUBERNETES, ETCD], said.append)
    assert found.keys() == COMMANDS
    assert all(built(path) for path in found.values())


@pytest.mark.usefixtures("go")
def test_with_the_sites_only_the_node_is_built(site: Site, said: list[str]) -> None:
    publish_kubernetes(site)
    publish_etcd(site)
    found = ensure([KUBERNETES, ETCD], said.append)
    assert found.keys() == COMMANDS
    assert [command for command, path in found.items() if built(path)] == ["hollow-node"]


@pytest.mark.usefixtures("go")
def test_a_site_that_fails_halfway_makes_way_for_building(site: Site, said: list[str]) -> None:
    publish_kubernetes(site)
    del site.files[f"/v1.37.2/bin/linux/{architecture()}/kubectl"]
    found = ensure([KUBERNETES], said.append)
    assert all(built(path) for path in found.values())
    assert any(sentence.endswith("building kubernetes 1.37.2 instead") for sentence in said)


@pytest.mark.usefixtures("go")
@pytest.mark.parametrize("kind", ["broken", "trickling"])
@pytest.mark.parametrize("file", ["kube-scheduler", "kube-scheduler.sha256"])
def test_a_download_that_breaks_off_or_never_ends_makes_way_for_building(
    site: Site, said: list[str], monkeypatch: pytest.MonkeyPatch, kind: str, file: str
) -> None:
    monkeypatch.setattr(official, "SPEED_OVER_S", 0.2)
    publish_kubernetes(site)
    getattr(site, kind).add(f"/v1.37.2/bin/linux/{architecture()}/{file}")
    found = ensure([KUBERNETES], said.append)
    assert all(built(path) for path in found.values())
    reason = {"broken": "broke off", "trickling": "is slow"}[kind]
    assert any(f"{file} {reason}" in sentence and "building" in sentence for sentence in said), said


@pytest.mark.usefixtures("go")
def test_what_is_cached_needs_no_site_and_says_nothing(site: Site, said: list[str]) -> None:
    publish_kubernetes(site)
    publish_etcd(site)
    found = ensure([KUBERNETES, ETCD], said.append)
    said.clear()
    site.asked.clear()
    assert ensure([KUBERNETES, ETCD], said.append) == found
    assert (said, site.asked) == ([], [])


@pytest.mark.usefixtures("no_site", "go")
def test_what_is_missing_costs_something_and_what_is_cached_nothing(tmp_path: Path, said: list[str]) -> None:
    wanted = cost_of([KUBERNETES, ETCD])
    assert list(wanted.parts) == [KUBERNETES, ETCD]
    assert (wanted.memory_gib, sum(wanted.disk_gib.values())) == (4.5, 6)
    ensure([KUBERNETES], said.append)
    assert (cost_of([KUBERNETES, ETCD]).parts, cost_of([KUBERNETES, ETCD]).memory_gib) == ([ETCD], 0)
    ensure([ETCD], said.append)
    assert cost_of([KUBERNETES, ETCD]) == Cost()


def test_the_machines_own_go_says_where_its_caches_are(
    go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (go / "env").write_text("/somewhere/build\n/elsewhere/mod\n")
    assert golang.caches() == (Path("/somewhere/build"), Path("/elsewhere/mod"))
    stand_in_go(tmp_path / "old", "go1.20.14", monkeypatch)
    assert golang.caches()[0] == tmp_path / "cache" / "go" / "build"


@pytest.mark.usefixtures("go")
def test_a_refused_download_is_not_replaced_by_a_build(site: Site, said: list[str]) -> None:
    publish_etcd(site)
    archive = f"etcd-v3.7.3-linux-{architecture()}.tar.gz"
    with pytest.raises(BinariesError, match="refused"):
        ensure([Part(name="etcd", version="3.7.3", digests={archive: "0" * 64})], said.append)


def test_a_version_without_a_recipe_is_refused_with_those_there_are(said: list[str]) -> None:
    with pytest.raises(BinariesError, match=r"kubernetes 1\.0\.0 .*of kubernetes-1\.36\.3, kubernetes-1\.37\.2"):
        ensure([Part(name="kubernetes", version="1.0.0")], said.append)


def test_two_versions_of_a_part_are_refused_together(said: list[str]) -> None:
    with pytest.raises(BinariesError, match="one after the other"):
        ensure([KUBERNETES, Part(name="kubernetes", version="1.36.3")], said.append)


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "riscv64")])
def test_other_platforms_are_refused_by_name(
    system: str, machine: str, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    with pytest.raises(BinariesError, match=f"{system} {machine}.*Linux on x86_64 and aarch64"):
        ensure([ETCD], said.append)


@pytest.mark.parametrize("name", ["temporal", "bao", "traefik"])
def test_commands_of_wheels_are_found_in_the_environment(name: str) -> None:
    assert tool(name).is_file()


def test_a_missing_command_says_how_to_get_it() -> None:
    with pytest.raises(BinariesError, match="uv sync"):
        tool("no-such-command")
