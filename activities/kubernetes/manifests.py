"""Manifests as data: templates by the release's version of node templates, rendered to objects."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from activities.kubernetes.client import Json
from api.errors import ErrorCode
from api.release import Release
from contracts.context import ClusterContext
from contracts.errors import StepError
from planning.releases import load_releases

TEMPLATES = Path(__file__).parent / "manifests"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_RESOURCES = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "ClusterInformation": "clusterinformations",
    "ConfigMap": "configmaps",
    "CustomResourceDefinition": "customresourcedefinitions",
    "DaemonSet": "daemonsets",
    "Deployment": "deployments",
    "IngressClass": "ingressclasses",
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
    "Namespace": "namespaces",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


def release_of(cluster: ClusterContext) -> Release:
    """Return the cluster's release. Raises UNKNOWN_RELEASE."""
    name = cluster.spec.release
    try:
        return load_releases()[name]
    except KeyError:
        raise StepError(ErrorCode.UNKNOWN_RELEASE, f"there is no release {name}") from None


def render(version: str, name: str, **values: Any) -> list[Json]:
    """Return the objects in template ``name`` of a version of the node templates, in their order."""
    text = _templates(version).get_template(f"{name}.yaml.j2").render(values)
    return [document for document in yaml.load_all(text, Loader=_LOADER) if document]


@cache
def _templates(version: str) -> Environment:
    loader = FileSystemLoader(TEMPLATES / version)
    return Environment(loader=loader, undefined=StrictUndefined, autoescape=select_autoescape(()))


def path_of(manifest: Json) -> str:
    """Return the path of an object (Kubernetes API concepts: resource URIs)."""
    version, metadata = manifest["apiVersion"], manifest["metadata"]
    group = f"/api/{version}" if version == "v1" else f"/apis/{version}"
    namespace = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"{group}{namespace}/{_RESOURCES[manifest['kind']]}/{metadata['name']}"
