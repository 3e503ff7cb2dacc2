"""Checking whether RabbitMQ on this machine accepts messages."""

import pika

from elephant_server.deploy.ports import reachable
from elephant_server.rabbitmq import BROKER_ERRORS
from elephant_server.settings import Settings

_SECONDS = 5.0


def ask_rabbitmq(settings: Settings) -> str:
    """Return why the other machines of a server cannot use it; ``""`` if it answers.

    If it is encrypted and only for clients, it is not checked.
    """
    if settings.cluster_address is not None:
        host, port = reachable(settings.cluster_address), settings.rabbitmq_cluster_port
    elif settings.uses_tls:
        return ""
    else:
        host, port = reachable(settings.listens_at), settings.rabbitmq_node_port
    parameters = pika.ConnectionParameters(
        host,
        port,
        settings.rabbitmq_virtual_host,
        pika.PlainCredentials(settings.rabbitmq_user, settings.rabbitmq_password),
        socket_timeout=_SECONDS,
        stack_timeout=2 * _SECONDS,
    )
    try:
        pika.BlockingConnection(parameters).close()
    except BROKER_ERRORS as error:
        return str(error) or type(error).__name__
    return ""
