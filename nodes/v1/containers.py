"""containerd (its "CRI Plugin Config Guide")."""

from nodes.model import SYSTEM_PATH, File, Layout, Scope, Service

CONTAINERD = "containerd"
SOCKET = "/run/containerd/containerd.sock"
PLUGINS = "/opt/cni/bin"
IMAGES = "/opt/images"


def containerd(layout: Layout) -> Service:
    """Return the container runtime. Its store is new at each boot, so it is told of the release's images first."""
    preload = (layout.binary("preload-images"), IMAGES, _root(layout))
    return Service(
        name=CONTAINERD,
        argv=(*preload, layout.binary(CONTAINERD), f"--config={_config_path(layout)}"),
        environment={"PATH": f"/opt/bin:{layout.search_path(SYSTEM_PATH)}"},
        notifies=True,
        starts_containers=True,
    )


def runtime_folders(layout: Layout) -> tuple[str, ...]:
    """Return the folders that containerd and the kubelet expect."""
    return (
        _root(layout),
        f"{layout.scratch}/kubelet",
        f"{layout.scratch}/log/pods",
    )


def runtime_files(scope: Scope) -> tuple[File, ...]:
    """Return containerd's configuration."""
    return (File(_config_path(scope.layout), _config(scope)),)


def _config(scope: Scope) -> str:
    layout, pause = scope.layout, scope.release.pause
    return f"""version = 3
root = "{_root(layout)}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause.reference(prefix="")}"
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{PLUGINS}"]
  conf_dir = "/etc/cni/net.d"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
    SystemdCgroup = true
    BinaryName = "{layout.binary("runc")}"
"""


def _config_path(layout: Layout) -> str:
    return f"{layout.config}/containerd.toml"


def _root(layout: Layout) -> str:
    return f"{layout.scratch}/containerd"
