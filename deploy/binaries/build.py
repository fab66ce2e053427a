"""Executables built from the Go modules that the recipes in this folder pin."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from deploy.binaries import child, golang
from deploy.binaries.cache import Bundle
from deploy.binaries.part import NODE_COMMANDS, Part, architecture, cores
from deploy.binaries.progress import Report, duration

NODE = "hollow-node"
"""The node of the local provider."""

PRELOAD = "preload-images"
"""What makes the images of a release disk known to containerd."""

_OWN = {NODE: "node", PRELOAD: "preload"}
"""Go mains of this project, and the folders beside this file that they are in."""

_PLUGINS = "github.com/containernetworking/plugins/plugins"
_PACKAGES = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kubemark": "k8s.io/kubernetes/cmd/kubemark",
    NODE: f"./{NODE}",
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
    "etcd": "go.etcd.io/etcd/server/v3",
    "etcdctl": "go.etcd.io/etcd/etcdctl/v3",
    "containerd": "github.com/containerd/containerd/v2/cmd/containerd",
    "containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    PRELOAD: f"./{PRELOAD}",
    "runc": "github.com/opencontainers/runc",
    "host-local": f"{_PLUGINS}/ipam/host-local",
    "loopback": f"{_PLUGINS}/main/loopback",
    "portmap": f"{_PLUGINS}/meta/portmap",
    "flannel": "github.com/flannel-io/flannel",
    "calico": "github.com/projectcalico/calico/cni-plugin/cmd/calico",
    "calico-felix": "github.com/projectcalico/calico/felix/cmd/calico-felix",
    "coredns": "github.com/coredns/coredns",
    "ignition-validate": "github.com/coreos/ignition/v2/validate",
    "helm": "helm.sh/helm/v4/cmd/helm",
    "crane": "github.com/google/go-containerregistry/cmd/crane",
}
_BUILT_AS = {"etcd": "server", "ignition-validate": "validate"}
"""What Go names a command's file where that differs from the command."""

_TAGS = {"containerd": "no_btrfs,no_devmapper,no_zfs", "runc": "seccomp,netgo,osusergo"}
"""Build tags; storage drivers that containerd leaves out need libraries in C."""

_VERSIONS = {
    "containerd": "github.com/containerd/containerd/v2/version.Version",
    "cni": "github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion",
    "flannel": "github.com/flannel-io/flannel/pkg/version.Version",
    "helm": "helm.sh/helm/v4/internal/version.version",
    "crane": "github.com/google/go-containerregistry/cmd/crane/cmd.Version",
}
"""Variables that the linker writes the version to."""

_IN_C = {"runc", "flannel"}
"""Parts with code in C, which gcc compiles; linked statically, since a node has none of its libraries."""

_CPU_S = {
    "etcd": 70,
    "kubernetes": 620,
    NODE: 350,
    "containerd": 140,
    "runc": 40,
    "cni": 20,
    "flannel": 220,
    "calico": 500,
    "coredns": 210,
    "ignition": 10,
    "helm": 310,
    "crane": 30,
}
"""Seconds of processor time that a build takes with nothing in Go's build cache."""

_APART = {(NODE,), NODE_COMMANDS["kubernetes"]}
"""Commands of Kubernetes that are kept by themselves."""


def bundle(part: Part, commands: tuple[str, ...]) -> Bundle:
    """Return the recipe that builds ``commands`` of ``part`` in one run, so that they share what is compiled.

    The key holds the sources, the flags and the version of Go.
    """
    sources = _sources(part, commands)
    return Bundle(
        name="-".join((part.name, part.version, *(commands if commands in _APART else ()))),
        recipe=[
            {name: source.read_text() for name, source in sources.items()},
            _flags(part),
            sorted(commands),
            golang.GO_VERSION,
            architecture(),
        ],
        paths={command: command for command in commands},
        fill=lambda content, scratch, report: _build(part, commands, content, scratch, report),
    )


def _sources(part: Part, commands: tuple[str, ...]) -> dict[str, Path]:
    """Return the files of the build folder, by their place in it."""
    recipe = part.recipe
    sources = {name: recipe / name for name in ("go.mod", "go.sum")}
    for command in _OWN.keys() & set(commands):
        files = (recipe.parent / _OWN[command]).glob("*.go")
        sources |= {f"{command}/{file.name}": file for file in files}
    if NODE in commands:
        sources[f"{NODE}/machine.go"] = recipe / "machine.go"
    return sources


def _flags(part: Part) -> list[str]:
    """Return the flags of ``go build``: reproducible, with the version that the command tells, and stripped.

    The linker drops debug information in any case; not making it saves a twentieth of the compiler's time and a
    quarter of Go's build cache.
    """
    link = ["-s", "-w"]
    if part.name == "kubernetes":
        major, minor, _patch = part.version.split(".")
        variables = {
            "gitVersion": f"v{part.version}",
            "gitMajor": major,
            "gitMinor": minor,
            "gitTreeState": "clean",
        }
        link += [f"-X=k8s.io/component-base/version.{name}={value}" for name, value in variables.items()]
    link += [f"-X={_VERSIONS[part.name]}=v{part.version}"] if part.name in _VERSIONS else []
    link += ["-linkmode=external", "-extldflags=-static"] if part.name in _IN_C else []
    tags = [f"-tags={_TAGS[part.name]}"] if part.name in _TAGS else []
    return ["-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", *tags, f"-ldflags={' '.join(link)}"]


def _build(part: Part, commands: tuple[str, ...], content: Path, scratch: Path, report: Report) -> str:
    sources = _sources(part, commands)
    go = golang.toolchain(report)
    _lay_out(sources, scratch)
    what = f"{part} with go {golang.GO_VERSION}"
    usual = _CPU_S[NODE if commands == (NODE,) else part.name] / cores()
    report(f"building {what}: about {duration(usual)} on {cores()} cores the first time")
    packages = [_PACKAGES[name] for name in commands]
    settings = {"GOTMPDIR": str(scratch / "tmp"), "CGO_ENABLED": "1" if part.name in _IN_C else "0"}
    environment = {**go.environment, **settings}
    command = [str(go.command), "build", *_flags(part), "-o", "bin/", *packages]
    took_s = child.run(f"building {what}", command, scratch, environment, report)
    for name in commands:
        (scratch / "bin" / _BUILT_AS.get(name, name)).rename(content / name)
    report(f"built {what} in {duration(took_s)}")
    return f"go {golang.GO_VERSION} {' '.join(packages)}"


def _lay_out(sources: Mapping[str, Path], folder: Path) -> None:
    for name in ("bin", "tmp", *_OWN):
        (folder / name).mkdir()
    for name, source in sources.items():
        shutil.copyfile(source, folder / name)
