"""The OpenAPI 3.1 description, made from the views and the schemas of their bodies, and its page at ``/docs``."""

from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify, render_template
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from elephant_server import __version__
from elephant_server.api.endpoint import Endpoint, endpoints
from elephant_server.schemas.answers import Error

REF = "#/components/schemas/{model}"

# The other answers; each has a sentence that says what was expected, what was found and what to do.
_REFUSALS = {
    "400": "Something in the request is wrong",
    "404": "There is no such dataset, or no such model",
    "413": "The body is larger than this request needs",
}
_FAILURES = {
    "401": "The token is missing or wrong, where the server asks for one",
    "403": "The server was asked by a name that is not its own, or from a page of another site",
    "500": "It failed; or it is a training or a reset, and another one runs",
    "503": "The server is starting, or a part of it cannot be reached: try again in some seconds",
}
blueprint = Blueprint("docs", __name__)
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def describe(app: Flask) -> dict[str, Any]:
    """Return the description of an application's views."""
    operations = list(_operations(app))
    models: set[type[BaseModel]] = {Error}
    for *_, description, _ in operations:
        models |= {model for model in (description.body, description.answer) if model is not None}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, definitions = models_json_schema([(model, "validation") for model in ordered], ref_template=REF)
    paths: dict[str, Any] = {}
    for path, method, name, description, view in operations:
        paths.setdefault(path, {})[method] = _operation(name, description, view)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ELEPHANT server",
            "version": __version__,
            "description": "Detection and tracking of nuclei for the ELEPHANT client of Mastodon. "
            "Every path answers with and without a trailing slash.",
        },
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": definitions["$defs"]},
    }


def _operations(app: Flask) -> list[tuple[str, str, str, Endpoint, Any]]:
    found = []
    for rule, description in endpoints(app):
        if description.is_described:
            view = app.view_functions[rule.endpoint]
            methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            found += [(rule.rule, method.lower(), rule.endpoint, description, view) for method in sorted(methods)]
    return found


def _operation(name: str, description: Endpoint, view: Any) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": _done(description)}
    if description.no_content:
        responses["204"] = {"description": description.no_content}
    takes_any = description.body is not None or description.query is not None
    refusals = _REFUSALS if takes_any else {}
    conflict = {} if description.conflict is None else {"409": description.conflict}
    for status, text in sorted((refusals | conflict | _FAILURES).items()):
        responses[status] = _response(text, _reference(Error))
    operation = {
        "operationId": name.replace(".", "_"),
        "tags": [name.split(".", maxsplit=1)[0]],
        "summary": (view.__doc__ or "").strip().splitlines()[0],
        "deprecated": ".old_" in name,
        "responses": responses,
    }
    if description.query is not None:
        operation["parameters"] = _parameters(description.query)
        responses["404"] = _response("There is no such thing", _reference(Error))
        responses["414"] = _response("The address is too long", _reference(Error))
    if name.startswith("dashboard"):
        responses["503"] = _response("Too many ask at once, or the state cannot be reached", _reference(Error))
    if description.body is not None:
        make = _form if description.is_form else _body
        operation["requestBody"] = make(description.body, description.takes_upload)
    return operation


def _parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema(ref_template=REF)
    required = set(schema.get("required", ()))
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": field.get("description", ""),
            "schema": {key: value for key, value in field.items() if key not in ("title", "description")},
        }
        for name, field in schema["properties"].items()
    ]


def _done(description: Endpoint) -> dict[str, Any]:
    if description.answer is None:
        return {"description": "The file", "content": {description.file_type: {}}}
    answer: dict[str, Any] = _reference(description.answer)
    return _response("Done", {"type": "array", "items": answer} if description.is_list else answer)


def _form(model: type[BaseModel], takes_file: bool) -> dict[str, Any]:
    content = {"application/x-www-form-urlencoded": {"schema": _reference(model)}}
    if takes_file:
        part = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}, "required": ["file"]}
        content["multipart/form-data"] = {"schema": {"allOf": [_reference(model), part]}}
    return {"required": True, "content": content}


def _body(model: type[BaseModel], takes_upload: bool) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": _reference(model)}}
    if takes_upload:
        words = "a .pth" if "model_name" in model.model_fields else "spots or tracks, in any format that is read"
        parts = {
            "data": {"type": "string", "description": f"the JSON object {model.__name__} as text"},
            "file": {"type": "string", "format": "binary", "description": words},
        }
        schema = {"type": "object", "properties": parts, "required": ["data", "file"]}
        content["multipart/form-data"] = {"schema": schema}
    return {"required": True, "content": content}


def _response(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _reference(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": REF.format(model=model.__name__)}


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
