"""The page in the browser, and the cheap, read-only views that it is fed from: one module a resource."""

from flask import Flask

from elephant_server.dashboard import curves, datasets, events, manual, models, page, planes, results, spots, status


def register(app: Flask) -> None:
    """Add the page and its views to an application."""
    for module in (page, manual, status, events, curves, datasets, planes, spots, results, models):
        app.register_blueprint(module.blueprint)
