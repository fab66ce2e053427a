"""The ``Release``: a frozen, named set of component versions with digests."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from api.model import ApiModel
from api.schema import validations

Version = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
GoModulePath = Annotated[str, Field(description="Path of the Go module.")]
GoSum = Annotated[
    str,
    StringConstraints(pattern=r"^h1:[A-Za-z0-9+/]{43}=$"),
    Field(
        description="Hash of the module as in go.sum (golang.org/ref/mod#go-sum-files), which builds must match."
    ),
]


class BinaryPart(ApiModel):
    """Programs of one project, pinned by the checksum database entry of its Go module."""

    version: Version = Field(description="Version of the project, without a v.")
    module: GoModulePath
    tag: str = Field(default="", description="The module's version where that is not the project's with a v.")
    sum: GoSum
    sha256: dict[str, Sha256] = Field(
        default_factory=dict, description="SHA-256 of official binaries by file name, where they are known."
    )


class GoModule(ApiModel):
    """A Go module by the line that go.sum has for it (golang.org/ref/mod#go-sum-files)."""

    module: GoModulePath
    sum: GoSum


class Wheel(ApiModel):
    """A Python wheel of PyPI for Linux on x86-64, by the SHA-256 of its file."""

    package: str = Field(description="Name of the package on PyPI.")
    sha256: Sha256 = Field(description="SHA-256 of the wheel.")


class Image(ApiModel):
    """A container image by name and version."""

    name: str = Field(description="Registry and repository, such as registry.k8s.io/pause.")
    version: Version = Field(description="Version of its programs, without a v.")
    source: GoModule | Wheel = Field(description="What its programs are made from: a Go module or a Python wheel.")
    digest: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")] | None = Field(
        default=None, description="Digest of the image, where it is pulled from a registry."
    )

    def reference(self, prefix: str = "v") -> str:
        """Return what a container runtime calls the image: most tags are the version with a ``v`` before it."""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}:{prefix}{self.version}{digest}"


class SystemImage(ApiModel):
    """An operating system with Ignition (specification 3.3.0), such as Flatcar or Fedora CoreOS.

    It is a disk image, qcow2 or raw, perhaps packed by gzip, bzip2 or xz, that a BIOS boots by its own loader.
    """

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$", max_length=2048)] = Field(
        description="Where the image is fetched, by http or https."
    )
    sha256: Sha256 = Field(description="Of the file at the URL, packed as it is.")


class MachineImages(ApiModel):
    """What virtual machines boot (x86-64), by the SHA-256 of each file; written by `just node-image`.

    ``root``, ``kernel`` and ``initrd`` are the node image, ``disk`` is what the release adds to it. ``system`` is
    there instead of the node image where machines are to have another operating system.
    """

    model_config = ConfigDict(
        json_schema_extra=validations(
            (
                "[has(self.root), has(self.kernel), has(self.initrd)].all(made, made == !has(self.system))",
                "name root, kernel and initrd, or a system instead of them",
            )
        )
    )

    recipe: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")] = Field(
        description="Key of the packages, modules and files that they are made of."
    )
    root: Sha256 | None = Field(default=None, description="SHA-256 of the node image's root file system.")
    kernel: Sha256 | None = Field(default=None, description="SHA-256 of the node image's kernel.")
    initrd: Sha256 | None = Field(default=None, description="SHA-256 of the node image's initial RAM disk.")
    disk: Sha256 = Field(description="SHA-256 of the disk that has what the release adds to the node image.")
    system: SystemImage | None = None

    @model_validator(mode="after")
    def _one_operating_system(self) -> Self:
        node_image = [digest is not None for digest in (self.root, self.kernel, self.initrd)]
        if any(has is (self.system is not None) for has in node_image):
            raise ValueError("name root, kernel and initrd, or a system instead of them")
        return self

    @property
    def made(self) -> dict[str, str]:
        """The digests of what `just node-image` makes for the release, by name."""
        return self.model_dump(include={"root", "kernel", "initrd", "disk"}, exclude_none=True)


class Release(ApiModel):
    """What a cluster is made of. Never changed once published: a change is another release."""

    api_version: Literal["giantnetes.io/v1alpha1"] = "giantnetes.io/v1alpha1"
    kind: Literal["Release"] = "Release"
    name: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+-\d+$")]
    kubernetes: BinaryPart
    etcd: BinaryPart
    containerd: BinaryPart
    runc: BinaryPart
    cni: BinaryPart = Field(description="Network plugins of the CNI project.")
    flannel: BinaryPart
    calico: BinaryPart = Field(description="Calico's network plugin and Felix.")
    node_templates: Literal["v1"] = Field(description="Version of the files and services in nodes/.")
    pause: Image
    coredns: Image
    kube_proxy: Image
    ingress: list[Image] = Field(min_length=1, description="Ingress controllers to choose from.")
    machine_images: MachineImages
