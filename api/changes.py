"""Which changes of a cluster are possible. Pure: the same rule for the workflow, the claim and the bridge."""

from typing import Any

from api.cluster import ClusterSpec


def unsupported_changes(old: ClusterSpec, new: ClusterSpec) -> list[str]:
    """Return the paths of fields that differ and can't be changed on a living cluster, sorted.

    No operation changes a living cluster yet, so every difference counts; an unset field equals its default.
    """
    return sorted(_differences("spec", old.model_dump(by_alias=True), new.model_dump(by_alias=True)))


def _differences(path: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = old.keys() | new.keys()
        return [found for key in keys for found in _differences(f"{path}.{key}", old.get(key), new.get(key))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = zip(old, new, strict=True)
        return [found for i, pair in enumerate(pairs) for found in _differences(f"{path}[{i}]", *pair)]
    return [] if old == new else [path]
