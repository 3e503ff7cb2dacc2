"""The demonstration from beginning to end."""

import sys
from collections.abc import Sequence
from pathlib import Path

from elephant.types import Spot
from elephant_server.auth.tokens import password_of, token_of, trust_of
from elephant_server.demo import bodies, picture
from elephant_server.demo.client import ServerClient, spots_of
from elephant_server.demo.errors import DemoError
from elephant_server.demo.movie import Movie, provide
from elephant_server.demo.options import DemoOptions, parse
from elephant_server.demo.scoring import Scores, compare
from elephant_server.demo.watching import LogQueue, ServerStatus, Source, watch
from elephant_server.settings import Settings, SettingsError, load_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration and return the exit status: 1 where it failed or found too little."""
    try:
        options = parse(arguments)
        scores, png = demonstrate(options, load_settings())
    except (DemoError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Timepoint {options.timepoint + 1}: {scores}")
    print(f"Picture: {png}")
    if options.require_f1 is not None and scores.f1 < options.require_f1:
        print(f"F1 is {scores.f1:.3f}, expected at least {options.require_f1}.", file=sys.stderr)
        return 1
    return 0


def demonstrate(options: DemoOptions, settings: Settings) -> tuple[Scores, Path]:
    """Train on one timepoint, predict the next, and return how good that was and where the picture is.

    Raises
    ------
    DemoError
        Something that the message says how to put right.
    """
    trust = trust_of(settings)
    client = ServerClient(settings.http_url, token_of(settings), trust)
    device = client.gpus()[0]
    print(f"Server: {client.url} ({device.get('name', 'unknown device')})")
    movie = provide(options, settings.datasets_dir)
    known = settings.model_copy(update={"rabbitmq_password": password_of(settings)})
    log = LogQueue(known.rabbitmq_url, trust if settings.starts_rabbitmq else None)
    status = ServerStatus(client)
    if not log.is_open and not status.is_there:
        print("RabbitMQ is not reachable: the elapsed time is shown instead of the loss.")
    try:
        found = _learn_and_find(options, movie, client, log if log.is_open else status)
    finally:
        log.close()
    return _judge(options, movie, found)


def _learn_and_find(options: DemoOptions, movie: Movie, client: ServerClient, source: Source) -> list[Spot]:
    """Ask the server for everything in the order in which a person at the client would."""
    facts = movie.facts
    print(f"Dataset {options.dataset!r}: {client.post('dataset/check', bodies.check(options, facts)).get('message')}")
    watch("Converting the movie", lambda: client.post("dataset/generate", bodies.generate(options, facts)), source)
    message = client.post("dataset/check", bodies.check(options, facts)).get("message")
    if message != "ready":
        raise DemoError(
            f"The dataset is not ready: {message}. Is the server's workspace the one of ELEPHANT_WORKSPACE, {movie.h5}?"
        )
    client.post("seg/update", bodies.clear_labels(options))
    watch("Looking at the images", lambda: client.post("seg/reset", bodies.reset(options, facts)), source)
    nuclei = len(facts.truth.spots(options.timepoint))
    title = f"Training on {nuclei} nuclei"
    watch(title, lambda: client.post("seg/train", bodies.train(options, facts)), source, options.steps)
    return spots_of(
        watch("Detecting nuclei", lambda: client.post("seg/predict", bodies.predict(options, facts)), source)
    )


def _judge(options: DemoOptions, movie: Movie, found: list[Spot]) -> tuple[Scores, Path]:
    """Compare with the truth and draw the picture."""
    t = options.timepoint + 1
    true = movie.facts.truth.spots(t)
    scores = compare(true, found, options.distance)
    name = options.movie.stem if options.movie else f"{options.preset}-{options.seed}"
    png = options.output / f"{name}.png"
    title = f"{name}, timepoint {t}\ntrained on timepoint {options.timepoint}"
    picture.draw(png, movie.image(t), movie.facts.truth.voxel, true, found, scores, title)
    return scores, png
