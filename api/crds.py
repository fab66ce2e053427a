"""The CustomResourceDefinitions of our resources. Pure: ``deploy/crds`` has them as files."""

from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from api.certificate import CertificateSpec, CertificateStatus
from api.cluster import API_VERSION, ClusterSpec
from api.model import DNS_LABEL
from api.release import Release
from api.resource import ClusterResourceStatus
from api.rules import schema_rules
from api.schema import VALIDATIONS, Json, structural, validations

GROUP, VERSION = API_VERSION.split("/")


@dataclass(frozen=True)
class Column:
    """A column of ``kubectl get``. Those with a priority above 0 are for ``--output wide``.

    Of the type ``date`` the API shows how long ago that was: ``<invalid>`` for what is still to come.
    """

    name: str
    path: str
    description: str
    type: str = "string"
    priority: int = 0

    def definition(self) -> Json:
        """Return it as a CustomResourceColumnDefinition."""
        fields = {"name": self.name, "type": self.type, "jsonPath": self.path, "description": self.description}
        return {**fields, **({"priority": self.priority} if self.priority else {})}


@dataclass(frozen=True)
class Kind:
    """A kind of resource: its names, its schema, and what kubectl shows of it."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    description: str
    properties: Json
    columns: tuple[Column, ...]
    namespaced: bool = True
    rules: tuple[tuple[str, str], ...] = ()

    @property
    def crd_name(self) -> str:
        """Name of the definition."""
        return f"{self.plural}.{GROUP}"

    def definition(self) -> Json:
        """Return the CustomResourceDefinition (apiextensions.k8s.io/v1)."""
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self.crd_name},
            "spec": {
                "group": GROUP,
                "names": {
                    "kind": self.kind,
                    "listKind": f"{self.kind}List",
                    "plural": self.plural,
                    "singular": self.kind.lower(),
                    "shortNames": list(self.short_names),
                    "categories": ["giantnetes"],
                },
                "scope": "Namespaced" if self.namespaced else "Cluster",
                "versions": [self._version()],
            },
        }

    def _version(self) -> Json:
        status: Json = {"subresources": {"status": {}}} if "status" in self.properties else {}
        return {
            "name": VERSION,
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": self._schema()},
            **status,
            "additionalPrinterColumns": [column.definition() for column in self.columns],
        }

    def _schema(self) -> Json:
        return {
            "type": "object",
            "description": self.description,
            "required": ["spec"],
            "properties": {
                "apiVersion": {"type": "string", "description": "Group and version of this resource's schema."},
                "kind": {"type": "string", "description": "Kind of this resource."},
                **self.properties,
            },
            **(validations(*self.rules) if self.rules else {}),
        }


def _with_rules(model: type[BaseModel], rules: list[tuple[str, str]]) -> Json:
    """Return a model's schema with more rules."""
    schema = structural(model)
    return {**schema, VALIDATIONS: [*schema.get(VALIDATIONS, []), *validations(*rules)[VALIDATIONS]]}


def _condition(kind: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].status'


_NAME: Final = {
    "type": "object",
    "properties": {
        "name": {
            "description": "Name of the cluster, at most 40 characters.",
            "type": "string",
            "maxLength": 40,
            "pattern": DNS_LABEL,
        }
    },
}
"""Has no description of its own: the API server takes none, and gives its own (Kubernetes: structural schemas)."""

_AGE: Final = Column("Age", ".metadata.creationTimestamp", "Since when it is there.", type="date")

CLUSTER: Final = Kind(
    kind="Cluster",
    plural="clusters",
    short_names=("gcl",),
    description="A guest cluster.",
    properties={
        "metadata": _NAME,
        "spec": _with_rules(ClusterSpec, schema_rules()),
        "status": structural(ClusterResourceStatus),
    },
    columns=(
        Column("Available", _condition("Available"), "Whether its API answers."),
        Column("Release", ".spec.release", "What it is made of."),
        Column("Phase", ".status.phase", "A word for people."),
        Column("Operation", ".status.operation.type", "What is being done."),
        Column("Step", ".status.operation.progress", "Steps done of all."),
        Column("Control plane", ".status.controlPlane.ready", "Control plane machines that are ready, of all."),
        Column("Nodes", ".status.nodes.ready", "Nodes that are ready, of all."),
        Column("Certificates until", ".status.certificatesExpireAt", "When the first one ends.", priority=1),
        _AGE,
    ),
)


def _release_spec() -> Json:
    """Return the schema of a release's parts: what its file has beside its names."""
    schema = structural(Release)
    named = ("apiVersion", "kind", "name")
    properties = {key: value for key, value in schema["properties"].items() if key not in named}
    required = [key for key in schema["required"] if key not in named]
    rule = validations(("self == oldSelf", "a release is never changed: make another one"))
    return {**schema, "properties": properties, "required": required, **rule}


RELEASE: Final = Kind(
    kind="Release",
    plural="releases",
    short_names=("grel",),
    description="A frozen, named set of component versions with digests.",
    properties={"spec": _release_spec()},
    columns=(
        Column("Kubernetes", ".spec.kubernetes.version", "Version of Kubernetes."),
        Column("etcd", ".spec.etcd.version", "Version of etcd."),
        _AGE,
    ),
    namespaced=False,
)

CERTIFICATE: Final = Kind(
    kind="Certificate",
    plural="certificates",
    short_names=("gcert",),
    description="A leaf certificate of a guest cluster: of a client of it, or shown, of one of its components.",
    properties={"spec": structural(CertificateSpec), "status": structural(CertificateStatus)},
    columns=(
        Column("Ready", _condition("Ready"), "Whether there is one that is valid."),
        Column("Cluster", ".spec.clusterName", "Whose authority signs it."),
        Column("Component", ".spec.component", "What it is for."),
        Column("Secret", ".status.secretName", "Where it is."),
        Column("Until", ".status.notAfter", "Until when it is valid."),
        Column("Machine", ".spec.machine", "Which machine has it, if a component does.", priority=1),
        Column("Reason", ".status.reason", "Why it was issued.", priority=1),
        _AGE,
    ),
    rules=(
        (
            "(self.spec.machine != '') == self.metadata.name.contains('.')",
            "components' are only shown: to have one issued, take a name without a dot and no spec.machine",
        ),
    ),
)

KINDS: Final = (CLUSTER, RELEASE, CERTIFICATE)
