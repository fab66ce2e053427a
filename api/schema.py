"""Structural schemas of models, as CustomResourceDefinitions have them. Pure.

Kubernetes takes a part of JSON Schema only: no references, no union with null, no pattern for names of properties,
and nothing but validation inside ``oneOf`` (Kubernetes: CustomResourceDefinition, Specifying a structural schema).
What a model says beside it in ``json_schema_extra``, such as ``x-kubernetes-validations``, is kept.
"""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, NoDefault

Json = dict[str, Any]

VALIDATIONS = "x-kubernetes-validations"
_DROPPED = ("title", "$ref", "$defs", "anyOf", "const", "patternProperties", "additionalProperties", "default")


def validations(*rules: tuple[str, str]) -> Json:
    """Return what says rules of CEL with their messages in a model's or field's ``json_schema_extra``."""
    return {VALIDATIONS: [{"rule": rule, "message": message} for rule, message in rules]}


def keyed_by(*names: str) -> Json:
    """Return what says that a list has each combination of these fields once, for ``json_schema_extra``."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(names)}


def structural(model: type[BaseModel]) -> Json:
    """Return the structural schema of a model, with all of its defaults, those of factories included."""
    whole = model.model_json_schema(schema_generator=_WithFactories)
    return _structural(whole, whole.get("$defs", {}))


class _WithFactories(GenerateJsonSchema):
    """Tells defaults that factories make too, and all of what they have: rules are tried on them as they stand."""

    def get_default_value(self, schema: Any) -> Any:
        factory = schema.get("default_factory")
        return factory() if factory else schema.get("default", NoDefault)

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, BaseModel):
            return dft.model_dump(mode="json", by_alias=True, exclude_none=True)
        return super().encode_default(dft)


def _structural(node: Json, definitions: Json) -> Json:
    """Return a node without what structural schemas don't have, and so on below it."""
    if "$ref" in node:
        node = {**definitions[node["$ref"].removeprefix("#/$defs/")], **node}
    if "anyOf" in node:
        node = {**_union([each for each in node["anyOf"] if each.get("type") != "null"], definitions), **node}
    made = {key: value for key, value in node.items() if key not in _DROPPED}
    if "const" in node:
        made["enum"] = [node["const"]]
    if node.get("default") is not None:
        made["default"] = node["default"]
    if "properties" in node:
        made["properties"] = {key: _structural(each, definitions) for key, each in node["properties"].items()}
    if "items" in node:
        made["items"] = _structural(node["items"], definitions)
    return {**made, **_map(node, definitions)}


def _map(node: Json, definitions: Json) -> Json:
    """Return what a schema says of an object with names that aren't fixed."""
    if isinstance(each := node.get("additionalProperties"), dict):
        return {"additionalProperties": _structural(each, definitions)}
    if "patternProperties" not in node:
        return {}
    ((pattern, each),) = node["patternProperties"].items()
    rule = (f"self.all(key, key.matches(r'{pattern}'))", f"keys must match {pattern}")
    return {"additionalProperties": _structural(each, definitions), **validations(rule)}


def _union(members: list[Json], definitions: Json) -> Json:
    """Return the schema that one member has, or objects that have what one of several members requires."""
    schemas = [_structural(member, definitions) for member in members]
    if len(schemas) == 1:
        return schemas[0]
    properties = {key: each for schema in schemas for key, each in schema["properties"].items()}
    required = [{"required": schema["required"]} for schema in schemas]
    return {"type": "object", "properties": properties, "oneOf": required}
