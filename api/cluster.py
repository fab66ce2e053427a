"""The ``Cluster`` resource: everything that describes a guest cluster, so that it can be rebuilt from it.

Rules are said twice, to Python and to the API server (in CEL, Kubernetes: Validation rules), so that
``kubectl apply --dry-run=server`` tells what a workflow would refuse.
"""

import re
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from api.hosts import HostName, IpAddress
from api.model import DNS_LABEL, RESERVED_PREFIXES, ApiModel, DnsLabel, LabelKey, LabelValue
from api.network import NetworkSpec
from api.schema import keyed_by, validations

API_VERSION: Final = "giantnetes.io/v1alpha1"
MAX_MACHINES = 200
"""Machines of one cluster: bounded by the history of one operation, see docs/limits.md."""

_KUBERNETES_LABEL = r"^([^/]*\.)?(kubernetes|k8s)\.io/"
_KUBELET_LABEL = r"^([^/]*\.)?(node|kubelet)\.kubernetes\.io/"
OUR_LABEL = r"^([^/]*\.)?giantnetes\.io/"
"""Names of labels and taints that are ours. Python asks this of new clusters only (``api.rules``)."""

_PEM = r"^(-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=]+\n)+-----END CERTIFICATE-----(\n+|$))+$"
Certificates = Annotated[str, StringConstraints(pattern=_PEM, max_length=16384)]
"""Certificates and nothing else, so that no key gets into a resource (RFC 7468, section 5)."""

Provider = Literal["local", "libvirt", "simulated"]


class MachineSize(ApiModel):
    """What a machine has."""

    cpus: int = Field(default=2, ge=1, le=64, description="Virtual CPU cores.")
    memory_mib: int = Field(default=4096, ge=512, le=524288, alias="memoryMiB", description="Memory in MiB.")


class ControlPlaneSpec(ApiModel):
    """The machines that run etcd, the API server, the controller manager and the scheduler."""

    replicas: Literal[1, 3] = Field(
        default=1, description="1, or 3 for an etcd that survives the loss of one member."
    )
    machine: MachineSize = Field(default_factory=MachineSize)


class Taint(ApiModel):
    """A taint that a node registers with."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            ("!format.qualifiedName().validate(self.key).hasValue()", "key: has no DNS name before its slash"),
            (f"!self.key.matches(r'{OUR_LABEL}')", "key: giantnetes.io is ours"),
        )
    )

    key: Annotated[LabelKey, StringConstraints(max_length=317)] = Field(description="Key of the taint.")
    value: LabelValue = Field(default="", description="Value of the taint; it may be empty.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(
        description="What happens to pods that don't tolerate the taint."
    )


class NodePool(ApiModel):
    """Machines of one kind that run workloads."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            ("self.min <= self.replicas && self.replicas <= self.max", "replicas must be between min and max"),
            (
                "self.labels.all(key, !format.qualifiedName().validate(key).hasValue())",
                "labels: a key has no DNS name before its slash",
            ),
            (f"self.labels.all(key, !key.matches(r'{OUR_LABEL}'))", "labels: giantnetes.io is ours"),
            (
                f"self.labels.all(key, !key.matches(r'{_KUBERNETES_LABEL}') || key.matches(r'{_KUBELET_LABEL}'))",
                "labels: the kubernetes.io and k8s.io prefixes are reserved",
            ),
        )
    )

    name: Annotated[str, StringConstraints(pattern=DNS_LABEL, max_length=20)] = Field(
        description="Name of the pool; nodes are called NAME-1, NAME-2 ..."
    )
    replicas: int = Field(default=1, ge=0, le=100, description="How many nodes.")
    min: int = Field(default=0, ge=0, le=100, description="Lower bound of replicas.")
    max: int = Field(default=100, ge=0, le=100, description="Upper bound of replicas.")
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, max_length=32, description="Labels of its nodes."
    )
    taints: list[Taint] = Field(
        default_factory=list,
        max_length=16,
        description="Taints of its nodes.",
        json_schema_extra=keyed_by("key", "effect"),
    )
    machine: MachineSize = Field(default_factory=MachineSize)

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if not self.min <= self.replicas <= self.max:
            raise ValueError(f"replicas {self.replicas} is outside of min {self.min} and max {self.max}")
        reserved = [key for key in self.labels if _reserved_label(key)]
        if reserved:
            raise ValueError(f"labels {', '.join(reserved)}: the kubernetes.io and k8s.io prefixes are reserved")
        return self


def _reserved_label(key: str) -> bool:
    """Say whether NodeRestriction would refuse the label from a kubelet (Kubernetes: admission controllers)."""
    return bool(re.match(_KUBERNETES_LABEL, key)) and not re.match(_KUBELET_LABEL, key)


MachineCertificate = Literal[
    "kube-apiserver",
    "kube-apiserver-kubelet-client",
    "kube-controller-manager",
    "kube-controller-manager-serving",
    "kube-scheduler",
    "kube-scheduler-serving",
    "etcd-server",
    "etcd-peer",
    "kube-apiserver-etcd-client",
    "front-proxy-client",
    "kubelet",
    "kubelet-client",
]
"""Certificates whose keys are on machines (docs/certificates.md)."""

SHOWN = (
    "kube-apiserver",
    "kube-controller-manager-serving",
    "kube-scheduler-serving",
    "etcd-server",
    "etcd-peer",
    "kubelet",
)
"""Those that servers show."""


class ComponentCertificateSpec(ApiModel):
    """What is special about the certificates of one kind."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            (
                f"self.name in {list(SHOWN)} || (self.dnsNames.size() == 0 && self.ipAddresses.size() == 0)",
                "a client's certificate has no names of hosts",
            )
        )
    )

    name: MachineCertificate = Field(description="Which certificates: docs/certificates.md lists them.")
    ttl_hours: int = Field(
        default=0,
        ge=0,
        le=720,
        alias="ttlHours",
        description="Lifetime, 24 to 720 hours; 0 is that of the others.",
        json_schema_extra=validations(("self == 0 || self >= 24", "a lifetime must be 24 hours or more")),
    )
    dns_names: list[HostName] = Field(
        default_factory=list, max_length=16, description="Names of DNS beside those that it has anyway."
    )
    ip_addresses: list[IpAddress] = Field(
        default_factory=list, max_length=16, description="Addresses beside those that it has anyway."
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.name not in SHOWN and (self.dns_names or self.ip_addresses):
            raise ValueError(f"{self.name} is a client's certificate, which has no names of hosts")
        if 0 < self.ttl_hours < 24:
            raise ValueError("ttlHours must be 24 or more")
        return self


TOO_SELDOM = "rotationIntervalDays must be 1, or at most half of the shortest lifetime"
"""So that one rotation that is missed harms nothing; 1 is taken with every lifetime."""


class CertificatesSpec(ApiModel):
    """How long certificates of machines live, when they are renewed, and what is special about some."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            (
                "self.rotationIntervalDays == 1 || (self.rotationIntervalDays * 48 <= self.leafTTLHours && self."
                "components.all(each, each.ttlHours == 0 || self.rotationIntervalDays * 48 <= each.ttlHours))",
                TOO_SELDOM,
            )
        )
    )

    leaf_ttl_hours: int = Field(
        default=168,
        ge=24,
        le=720,
        alias="leafTTLHours",
        description="Lifetime of a machine's certificates in hours.",
    )
    rotation_time: Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = Field(
        default="03:00", description="Time of day, UTC, at which they are renewed, or up to an hour later."
    )
    rotation_interval_days: int = Field(
        default=1,
        ge=1,
        le=15,
        description="Every how many days they are renewed: 1, or at most half of the shortest lifetime.",
    )
    components: list[ComponentCertificateSpec] = Field(
        default_factory=list,
        max_length=len(get_args(MachineCertificate)),
        json_schema_extra=keyed_by("name"),
        description="What is special about some.",
    )

    def special(self, name: str) -> ComponentCertificateSpec | None:
        """Return what is special about the certificates of a kind, if anything is."""
        return next((component for component in self.components if component.name == name), None)

    @property
    def shortest_ttl_hours(self) -> int:
        """The shortest lifetime of any."""
        return min([self.leaf_ttl_hours, *(each.ttl_hours for each in self.components if each.ttl_hours)])

    @property
    def too_seldom(self) -> bool:
        """Whether one rotation that is missed could let a certificate end."""
        return self.rotation_interval_days > 1 and self.rotation_interval_days * 48 > self.shortest_ttl_hours

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.too_seldom:
            raise ValueError(TOO_SELDOM)
        names = [component.name for component in self.components]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"components: {', '.join(twice)} is there more than once")
        return self


OidcWord = Annotated[str, StringConstraints(pattern=r"^\S+$", max_length=63)]


class OidcSpec(ApiModel):
    """Logging in with an OpenID Connect issuer (kube-apiserver's --oidc-* flags)."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            (
                f"[self.usernamePrefix, self.groupsPrefix].all(prefix, {list(RESERVED_PREFIXES)}.all(reserved, "
                "!reserved.startsWith(prefix) && !prefix.startsWith(reserved)))",
                "prefixes must not let the issuer give names that begin with system: or giantnetes:",
            )
        )
    )

    issuer_url: Annotated[str, StringConstraints(pattern=r"^https://\S+$", max_length=500)] = Field(
        alias="issuerURL", description="Issuer, https only."
    )
    certificate_authority: Certificates | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="CA certificates (PEM) that the issuer's is of, where no public CA signed it.",
    )
    client_id: Annotated[str, StringConstraints(pattern=r"^\S+$", max_length=200)] = Field(
        alias="clientID", description="The client that tokens must be issued for."
    )
    username_claim: OidcWord = Field(default="sub", description="The claim of a token that has the user's name.")
    username_prefix: OidcWord = Field(default="oidc:", description="What is put before the user's name.")
    groups_claim: OidcWord = Field(
        default="groups", description="The claim of a token that has the user's groups."
    )
    groups_prefix: OidcWord = Field(default="oidc:", description="What is put before the name of each group.")

    @model_validator(mode="after")
    def _prefixes(self) -> Self:
        for prefix in (self.username_prefix, self.groups_prefix):
            if "system:".startswith(prefix) or prefix.startswith("system:"):
                raise ValueError(f"prefix {prefix!r} would let the issuer name system: users or groups")
        return self


class AuditSpec(ApiModel):
    """What the API server writes down."""

    level: Literal["Metadata", "Request"] = Field(
        default="Metadata", description="Metadata, or Request for the bodies of changes (never of secrets)."
    )
    max_age_days: int = Field(default=7, ge=1, le=365, description="How many days old files of the log are kept.")
    max_size_mib: int = Field(
        default=50,
        ge=1,
        le=1024,
        alias="maxSizeMiB",
        description="Size in MiB at which a new file of the log is begun.",
    )


class ApiServerSpec(ApiModel):
    """Options of the API server that a user may set."""

    feature_gates: dict[Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]{1,62}$")], bool] = Field(
        default_factory=dict,
        max_length=32,
        description="Feature gates of the API server to turn on or off, by name.",
    )
    oidc: OidcSpec | None = None
    audit: AuditSpec = Field(default_factory=AuditSpec)


class IngressConfig(ApiModel):
    """Settings of the ingress controller."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            ("self.httpNodePort != self.httpsNodePort", "httpNodePort and httpsNodePort must differ")
        )
    )

    replicas: int = Field(default=2, ge=1, le=10, description="How many pods the controller has.")
    http_node_port: int = Field(default=30080, ge=30000, le=32767, description="Port of each node for HTTP.")
    https_node_port: int = Field(default=30443, ge=30000, le=32767, description="Port of each node for HTTPS.")

    @model_validator(mode="after")
    def _ports(self) -> Self:
        if self.http_node_port == self.https_node_port:
            raise ValueError("httpNodePort and httpsNodePort must differ")
        return self


class IngressSpec(ApiModel):
    """The ingress controller."""

    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")] = Field(
        description="One of the versions that the release lists."
    )
    config: IngressConfig = Field(default_factory=IngressConfig)


class ClusterSpec(ApiModel):
    """The desired state of a guest cluster."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            (
                "self.nodePools.all(pool, pool.name != 'control-plane')",
                "nodePools: the name control-plane is taken by the control plane",
            ),
            (
                f"self.controlPlane.replicas + self.nodePools.map(pool, pool.replicas).sum() <= {MAX_MACHINES}",
                f"a cluster may have at most {MAX_MACHINES} machines",
            ),
            *(
                (
                    f"self.{field} == oldSelf.{field}",
                    f"{field} can't be changed: delete the cluster and make another",
                )
                for field in ("provider", "site", "owner", "network")
            ),
        )
    )

    provider: Provider = Field(description="Where machines come from.")
    site: DnsLabel = Field(default="default", description="The place whose queues and Vault are used.")
    owner: DnsLabel = Field(description="The organisation that the cluster belongs to.")
    release: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+-\d+$")] = Field(
        description="Frozen set of component versions, such as 1.37.2-1."
    )
    ingress: IngressSpec | None = None
    control_plane: ControlPlaneSpec = Field(default_factory=ControlPlaneSpec)
    node_pools: list[NodePool] = Field(
        default_factory=list,
        max_length=10,
        description="Machines that run workloads, by kind.",
        json_schema_extra=keyed_by("name"),
    )
    network: NetworkSpec = Field(default_factory=NetworkSpec)
    certificates: CertificatesSpec = Field(default_factory=CertificatesSpec)
    api_server: ApiServerSpec = Field(default_factory=ApiServerSpec)

    @model_validator(mode="after")
    def _pools(self) -> Self:
        names = [pool.name for pool in self.node_pools]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"nodePools: the name {', '.join(twice)} is used more than once")
        if "control-plane" in names:
            raise ValueError("nodePools: the name control-plane is taken by the control plane")
        machines = self.control_plane.replicas + sum(pool.replicas for pool in self.node_pools)
        if machines > MAX_MACHINES:
            raise ValueError(f"{machines} machines: a cluster may have at most {MAX_MACHINES}")
        return self


class ObjectMeta(ApiModel):
    """Name of a resource. The uid and generation are Kubernetes' own where the resource lives there."""

    name: DnsLabel = Field(description="Name of the cluster, at most 40 characters.")
    namespace: DnsLabel = Field(default="default")
    uid: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{8,36}$")] | None = None
    generation: int = Field(default=1, ge=1)


class Cluster(ApiModel):
    """A guest cluster."""

    api_version: Literal["giantnetes.io/v1alpha1"] = API_VERSION
    kind: Literal["Cluster"] = "Cluster"
    metadata: ObjectMeta
    spec: ClusterSpec
