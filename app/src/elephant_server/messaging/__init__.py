"""What the server tells the client over RabbitMQ."""

from elephant_server.messaging.errors import BROKER_ERRORS
from elephant_server.messaging.handler import QueueLogHandler
from elephant_server.messaging.publisher import Publisher
from elephant_server.messaging.queues import Messages, NoBroker

__all__ = ["BROKER_ERRORS", "Messages", "NoBroker", "Publisher", "QueueLogHandler"]
