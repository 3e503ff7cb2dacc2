"""The page in the browser, and the cheap views that it is fed from: one module a resource."""

from flask import Flask

from elephant_server.dashboard import datasets, growth, learning, models, movies, page, spots, status, truth


def register(app: Flask) -> None:
    """Add the page and its views to an application."""
    for module in (page, status, datasets, movies, spots, truth, models, growth, learning):
        app.register_blueprint(module.blueprint)
