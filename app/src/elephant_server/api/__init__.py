"""The HTTP interface: one module a resource, functions of a few lines."""

from flask import Flask

from elephant_server.api import dataset, download, errors, flow, openapi, params, seg, state, upload


def register(app: Flask) -> None:
    """Add all resources, and the one place that turns errors into answers, to an application."""
    for module in (state, params, dataset, seg, flow, upload, download, openapi):
        app.register_blueprint(module.blueprint)
    errors.register(app)
