"""Who may log in to the API server, and what it writes down.

Sources: Kubernetes, "Authenticating" (structured configuration, anonymous requests) and "Auditing".
"""

from typing import Any

import yaml

from api.cluster import ApiServerSpec, AuditSpec, OidcSpec
from contracts.certificates import CERTIFICATES
from nodes.model import File, Layout

HEALTH_PATHS = ("/livez", "/readyz", "/healthz")

_SECRET_BODIES = [
    {"group": "", "resources": ["secrets", "configmaps", "serviceaccounts/token"]},
    {"group": "authentication.k8s.io", "resources": ["tokenreviews"]},
]


def authentication(layout: Layout, spec: ApiServerSpec) -> File:
    """Return who is let in beside client certificates: nobody but to ask for health, and the OIDC issuer's."""
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {"enabled": True, "conditions": [{"path": path} for path in HEALTH_PATHS]},
        "jwt": [_issuer(spec.oidc)] if spec.oidc else [],
    }
    return File(authentication_path(layout), yaml.safe_dump(document, sort_keys=False))


def authentication_path(layout: Layout) -> str:
    """Return where the authentication configuration is."""
    return f"{layout.config}/authentication.yaml"


def _issuer(oidc: OidcSpec) -> dict[str, Any]:
    authority = {"certificateAuthority": oidc.certificate_authority} if oidc.certificate_authority else {}
    return {
        "issuer": {"url": oidc.issuer_url, **authority, "audiences": [oidc.client_id]},
        "claimMappings": {
            "username": {"claim": oidc.username_claim, "prefix": oidc.username_prefix},
            "groups": {"claim": oidc.groups_claim, "prefix": oidc.groups_prefix},
        },
    }


def audit_policy(layout: Layout, audit: AuditSpec, *, several: bool) -> File:
    """Return the rules of the audit log; the first that matches decides.

    Bodies that may hold a secret are never written. Health, events and leases are left out: they are many and
    tell nothing. Everything else keeps at least its metadata, which shows the client's certificate. With
    ``several`` control plane machines all controller managers but one only look at a lease, and are to be seen.
    """
    document = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": True,
        "rules": [
            {"level": "None", "nonResourceURLs": [f"{path}*" for path in HEALTH_PATHS]},
            {"level": "None", "resources": [_EVENTS, {"group": "events.k8s.io", "resources": ["events"]}]},
            *([_looks_at_leases()] if several else []),
            {"level": "None", "resources": [_leases()]},
            {"level": "Metadata", "resources": _SECRET_BODIES},
            *([_CHANGES] if audit.level == "Request" else []),
            {"level": "Metadata"},
        ],
    }
    return File(audit_policy_path(layout), yaml.safe_dump(document, sort_keys=False))


_EVENTS = {"group": "", "resources": ["events"]}
_CHANGES = {"level": "Request", "verbs": ["create", "update", "patch", "delete", "deletecollection"]}


def _leases() -> dict[str, Any]:
    return {"group": "coordination.k8s.io", "resources": ["leases"]}


def _looks_at_leases() -> dict[str, Any]:
    user = CERTIFICATES["kube-controller-manager"].common_name
    return {"level": "Metadata", "users": [user], "verbs": ["get"], "resources": [_leases()]}


def audit_policy_path(layout: Layout) -> str:
    """Return where the audit policy is."""
    return f"{layout.config}/audit-policy.yaml"
