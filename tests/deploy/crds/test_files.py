"""The definitions in deploy/crds are those that the models give, and explain every field."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.crds import files

BY_THE_SERVER = {".metadata"}
"""What the API server describes by itself, and refuses a description of (Kubernetes: structural schemas)."""


@pytest.mark.parametrize(("path", "content"), files().items(), ids=lambda value: getattr(value, "name", ""))
def test_a_file_is_current(path: Path, content: str) -> None:
    assert path.read_text() == content, "write it anew with `just crds`"


def schemas(path: str, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the schema of every property with its path, and of every object or list in a list or map."""
    inside = {f"{path}.{name}": each for name, each in schema.get("properties", {}).items()}
    for suffix, key in (("[]", "items"), ("{}", "additionalProperties")):
        if schema.get(key, {}).get("type") in {"object", "array"}:
            inside[path + suffix] = schema[key]
    for name, each in inside.items():
        yield name, each
        yield from schemas(name, each)


@pytest.mark.parametrize("content", files().values(), ids=[path.name for path in files()])
def test_every_property_is_described(content: str) -> None:
    versions = yaml.safe_load(content)["spec"]["versions"]
    known = [pair for version in versions for pair in schemas("", version["schema"]["openAPIV3Schema"])]
    missing = [path for path, schema in known if not schema.get("description") and path not in BY_THE_SERVER]
    assert ".spec" in dict(known)
    assert missing == [], "describe them in the models of api/, then `just crds`"
