"""The HTTP interface: one module a resource, functions of a few lines."""

from flask import Flask

from elephant_server.api import dataset, download, errors, methods, openapi, state, upload


def register(app: Flask) -> None:
    """Add all resources, and the one place that turns errors into answers, to an application."""
    views = (state, dataset, upload, download, openapi)
    for blueprint in (*(module.blueprint for module in views), methods.seg, methods.flow, state.params):
        app.register_blueprint(blueprint)
    errors.register(app)
