"""The HTTP interface: one module a resource, functions of a few lines."""

from flask import Flask

from elephant_server.api import (
    dataset,
    download,
    errors,
    lineages,
    methods,
    models,
    movie,
    openapi,
    review,
    state,
    tracks,
)


def register(app: Flask) -> None:
    """Add all resources, and the one place that turns errors into answers, to an application."""
    views = (state, dataset, download, tracks, review, lineages, movie, models, openapi)
    more = (methods.seg, methods.flow, state.params, dataset.upload)
    for blueprint in (*(module.blueprint for module in views), *more):
        app.register_blueprint(blueprint)
    errors.register(app)
