"""Messages to the client over RabbitMQ."""

from elephant_server.rabbitmq.errors import BROKER_ERRORS
from elephant_server.rabbitmq.handler import QueueLogHandler
from elephant_server.rabbitmq.publisher import Publisher
from elephant_server.rabbitmq.queues import Messages, NoBroker

__all__ = ["BROKER_ERRORS", "Messages", "NoBroker", "Publisher", "QueueLogHandler"]
