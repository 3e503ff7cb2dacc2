"""The page of the HTTP interface, from the description that the server itself gives at ``/openapi.json``."""

import json
from collections.abc import Iterator
from typing import Any

from _documenting.tables import code, sentence, table
from elephant_server.api.openapi import describe, type_name
from elephant_server.main import create_app
from elephant_server.settings import Settings

TITLES = {
    "state": "State",
    "params": "Settings of a running training",
    "dataset": "Datasets",
    "upload": "Uploads",
    "seg": "Detection",
    "flow": "Linking",
    "download": "Downloads",
}


def page() -> str:
    """Return a section for each resource, then the objects that are sent and answered."""
    description = describe(create_app(Settings(_env_file=None)))
    operations = [
        (path, method, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    common = _common(operations)
    parts = ["Besides what is said below, each request may be answered with one of these:", _answers(common)]
    for tag in sorted({operation["tags"][0] for *_, operation in operations}, key=_place):
        mine = [one for one in operations if one[2]["tags"][0] == tag and not one[2]["deprecated"]]
        if mine:
            parts += [f"## {_title(tag)}", *_each(mine, set(common))]
    parts += ["## Objects", *_objects(description["components"]["schemas"]), "## Old names", _old(operations)]
    return "\n\n".join(parts)


def _title(tag: str) -> str:
    page, _, part = tag.partition("_")
    return TITLES.get(tag, f"The {page}: {part}" if part else tag.capitalize())


def _place(tag: str) -> tuple[int, str]:
    known = list(TITLES)
    return (known.index(tag) if tag in known else len(known), tag)


def _common(operations: list[tuple[str, str, dict[str, Any]]]) -> dict[str, Any]:
    """Return the responses that all requests share, with the words of one of them."""
    all_of_them = [operation["responses"] for *_, operation in operations]
    shared = set.intersection(*(set(responses) for responses in all_of_them)) - {"200"}
    return {status: response for status, response in all_of_them[-1].items() if status in shared}


def _answers(responses: dict[str, Any]) -> str:
    return table(("status", "meaning", "answer"), [_answer(*one) for one in sorted(responses.items())])


def _each(operations: list[tuple[str, str, dict[str, Any]]], known: set[str]) -> Iterator[str]:
    for path, method, operation in operations:
        yield f"### {method.upper()} {path}"
        yield sentence(operation["summary"])
        body = operation.get("requestBody", {}).get("content", {})
        if body:
            yield "**Takes** " + "; or ".join(f"{code(kind)}: {_shape(part['schema'])}" for kind, part in body.items())
        if operation.get("parameters"):
            yield table(("parameter", "type", "default", "meaning"), map(_parameter, operation["parameters"]))
        yield _answers({status: said for status, said in operation["responses"].items() if status not in known})


def _parameter(parameter: dict[str, Any]) -> tuple[str, str, str, str]:
    schema = parameter["schema"]
    default = "*required*" if parameter["required"] else code(json.dumps(schema.get("default")))
    return code(parameter["name"]), type_name(schema), default, sentence(parameter["description"])


def _answer(status: str, response: dict[str, Any]) -> tuple[str, str, str]:
    content = response.get("content", {})
    shown = "; ".join(_shape(part["schema"]) if "schema" in part else code(kind) for kind, part in content.items())
    return status, sentence(response["description"]), shown


def _shape(schema: dict[str, Any]) -> str:
    """Return a link to an object, or what it is made of."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "allOf" in schema:
        return " with ".join(map(_shape, schema["allOf"]))
    if schema.get("type") == "array":
        return f"a list of {_shape(schema['items'])}"
    return "the parts " + ", ".join(map(code, schema.get("properties", {})))


def _objects(schemas: dict[str, Any]) -> Iterator[str]:
    for name, schema in sorted(schemas.items()):
        yield f"({name.lower()})=\n### {name}"
        words = (schema.get("description") or "").split("\n\n")[0]
        yield sentence(" ".join(words.split()).replace("``", "`"))
        required = set(schema.get("required", ()))
        rows = [
            (
                code(field),
                _linked(about),
                "*required*" if field in required else code(json.dumps(about.get("default"))),
                sentence(about.get("description", "")),
            )
            for field, about in schema.get("properties", {}).items()
        ]
        if rows:
            yield table(("field", "type", "default", "meaning"), rows)


def _linked(field: dict[str, Any]) -> str:
    """Return the type of a field; one that is an object of its own is a link to it."""
    reference = field.get("$ref") or field.get("items", {}).get("$ref")
    if reference:
        return ("list of " if "items" in field else "") + _shape({"$ref": reference})
    return type_name(field)


def _old(operations: list[tuple[str, str, dict[str, Any]]]) -> str:
    old = [one for one in operations if one[2]["deprecated"]]
    rows = [(code(f"{method.upper()} {path}"), sentence(operation["summary"])) for path, method, operation in old]
    return "The first clients ask for the same by these names.\n\n" + table(("path", "does"), rows)
