"""Which changes of a cluster are possible. Pure: the same rule for the workflow, the claim and the bridge."""

from typing import Any

from pydantic import BaseModel

from api.cluster import ClusterSpec

CHANGEABLE = ("spec.certificates.",)


def unsupported_changes(old: ClusterSpec, new: ClusterSpec) -> list[str]:
    """Return the paths of fields that differ and can't be changed on a living cluster, sorted.

    Only what is said of certificates can be, which a rotation follows. A field that ``new`` leaves unset is
    no wish for its default, so it is no change (Kubernetes: server-side apply).
    """
    return sorted(path for path in _differences("spec", old, new) if not path.startswith(CHANGEABLE))


def changed(old: ClusterSpec, new: ClusterSpec) -> ClusterSpec:
    """Return ``old`` with those fields of ``new`` that are set and can be changed on a living cluster."""
    wanted = new.certificates if "certificates" in new.model_fields_set else None
    if wanted is None:
        return old
    update = {name: getattr(wanted, name) for name in wanted.model_fields_set}
    return old.model_copy(update={"certificates": old.certificates.model_copy(update=update)})


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
