"""containerd (its "CRI Plugin Config Guide")."""

from contracts.machines import MachineRole
from nodes.model import File, Layout, Scope, Service
from nodes.v1.apiserver import readiness

CONTAINERD = "containerd"
SOCKET = "/run/containerd/containerd.sock"
PLUGINS = "/opt/cni/bin"
IMAGES = "/opt/images"


def containerd(layout: Layout) -> Service:
    """Return the container runtime."""
    return Service(
        name=CONTAINERD,
        argv=(layout.binary(CONTAINERD), f"--config={_config_path(layout)}"),
        environment={"PATH": "/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        notifies=True,
        starts_containers=True,
    )


def images(scope: Scope) -> list[Service]:
    """Return what makes the release's images known to containerd, whose store is new at each boot.

    One after the other, that of the pods' own sandbox first, and on a control plane machine when its API is ready:
    an emulated machine takes long for each.
    """
    release = scope.release
    references = [release.pause.reference(prefix=""), release.coredns.reference(), *_ingress_images(scope)]
    services: list[Service] = []
    first = readiness(scope, scope.server) if _of_control_plane(scope) else None
    for reference in references:
        name = archive_name(reference)
        services.append(
            Service(
                name=f"image-{name.removesuffix('.tar')}",
                argv=(scope.layout.binary("ctr"), "--namespace=k8s.io", "images", "import", f"{IMAGES}/{name}"),
                needs=None if services else first,
                after=(services[-1].name if services else CONTAINERD,),
                once=True,
            )
        )
    return services


def _ingress_images(scope: Scope) -> list[str]:
    """Return the image of the ingress controller; a control plane machine has it where there is no other node."""
    spec = scope.request.cluster.spec
    if spec.ingress is None or (_of_control_plane(scope) and any(pool.replicas for pool in spec.node_pools)):
        return []
    return [image.reference() for image in scope.release.ingress if image.version == spec.ingress.version]


def _of_control_plane(scope: Scope) -> bool:
    return scope.request.machine.role is MachineRole.CONTROL_PLANE


def archive_name(reference: str) -> str:
    """Return the name of an image's archive on the release disk: ``coredns-v1.15.0.tar``."""
    return f"{reference.rpartition('/')[2].replace(':', '-')}.tar"


def runtime_folders(layout: Layout) -> tuple[str, ...]:
    """Return the folders that containerd and the kubelet expect."""
    return (
        f"{layout.scratch}/containerd",
        f"{layout.scratch}/kubelet",
        f"{layout.scratch}/log/pods",
    )


def runtime_files(scope: Scope) -> tuple[File, ...]:
    """Return containerd's configuration."""
    return (File(_config_path(scope.layout), _config(scope)),)


def _config(scope: Scope) -> str:
    layout, pause = scope.layout, scope.release.pause
    return f"""version = 3
root = "{layout.scratch}/containerd"
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
