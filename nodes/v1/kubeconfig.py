"""Kubeconfigs that reference files: embedded credentials would never be read again after a rotation."""

import yaml

from nodes.model import File, Layout


def kubeconfig(layout: Layout, name: str, server: str, certificate: str) -> File:
    """Return ``<name>.conf`` for the client ``certificate`` towards the API at ``server``."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "cluster",
                "cluster": {"server": server, "certificate-authority": layout.certificate("kubernetes-ca")},
            }
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate": layout.certificate(certificate),
                    "client-key": layout.key(certificate),
                },
            }
        ],
        "contexts": [{"name": "default", "context": {"cluster": "cluster", "user": name}}],
        "current-context": "default",
    }
    return File(kubeconfig_path(layout, name), yaml.safe_dump(document, sort_keys=False))


def kubeconfig_path(layout: Layout, name: str) -> str:
    """Return where the kubeconfig called ``name`` is."""
    return f"{layout.config}/{name}.conf"
