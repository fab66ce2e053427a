"""Which changes of a cluster are possible. Pure: the same rule for the workflow, the claim and the bridge."""

from typing import Any

from pydantic import BaseModel

from api.cluster import ClusterSpec


def unsupported_changes(old: ClusterSpec, new: ClusterSpec) -> list[str]:
    """Return the paths of fields that differ and can't be changed on a living cluster, sorted.

    No operation changes a living cluster yet, so every difference counts. A field that ``new`` leaves unset is
    no wish for its default, so it is no change (Kubernetes: server-side apply).
    """
    return sorted(_differences("spec", old, new))


def _differences(path: str, old: Any, new: Any) -> list[str]:
    if isinstance(new, BaseModel) and isinstance(old, type(new)):
        fields = type(new).model_fields
        names = ((name, fields[name].alias or name) for name in new.model_fields_set)
        pairs = [(f"{path}.{alias}", getattr(old, name), getattr(new, name)) for name, alias in names]
    elif isinstance(new, dict) and isinstance(old, dict):
        pairs = [(f"{path}.{key}", old.get(key), new.get(key)) for key in old.keys() | new.keys()]
    elif isinstance(new, list) and isinstance(old, list) and len(old) == len(new):
        pairs = [(f"{path}[{index}]", *pair) for index, pair in enumerate(zip(old, new, strict=True))]
    else:
        return [] if old == new else [path]
    return [found for pair in pairs for found in _differences(*pair)]
