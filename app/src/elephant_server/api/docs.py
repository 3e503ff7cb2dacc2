"""``/openapi.json``, and the same for people at ``/docs``."""

from typing import Any

from flask import Blueprint, Response, current_app, jsonify, render_template

from elephant_server.api.openapi import describe

blueprint = Blueprint("docs", __name__)

_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """Return the description of the API, made from the views and their schemas."""
    return jsonify(describe(current_app))


@blueprint.get("/docs")
def page() -> str:
    """Show the description to a person."""
    description = describe(current_app)
    schemas = description["components"]["schemas"]
    operations = [
        {"path": path, "method": method.upper(), **operation, "fields": _body_fields(operation, schemas)}
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    current = [operation for operation in operations if not operation["deprecated"]]
    old = [operation for operation in operations if operation["deprecated"]]
    return render_template("docs.html", info=description["info"], operations=current, old=old)


def _body_fields(operation: dict[str, Any], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if "requestBody" not in operation:
        return []
    reference = next(c["schema"]["$ref"] for c in operation["requestBody"]["content"].values() if "$ref" in c["schema"])
    schema = schemas[reference.rsplit("/", 1)[1]]
    required = set(schema.get("required", ()))
    return [
        {
            "name": name,
            "type": type_name(field),
            "required": name in required,
            "default": field.get("default"),
            "description": field.get("description", ""),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def type_name(field: dict[str, Any]) -> str:
    """Return a JSON schema's type in words: ``integer, at least 1``."""
    if "anyOf" in field:
        return " or ".join(type_name(option) for option in field["anyOf"])
    if "$ref" in field:
        return str(field["$ref"].rsplit("/", 1)[1])
    if "const" in field or "enum" in field:
        return " | ".join(map(str, field.get("enum", [field.get("const")])))
    kind = str(field.get("type", "any"))
    if kind == "array":
        items = field.get("prefixItems") or [field.get("items", {})]
        length = f"{len(field['prefixItems'])} x " if "prefixItems" in field else ""
        kind = f"list of {length}{type_name(items[0])}"
    return ", ".join([kind, *(f"{word} {field[key]:g}" for key, word in _BOUNDS.items() if key in field)])
