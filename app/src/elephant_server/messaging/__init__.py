"""What the server tells the client over RabbitMQ."""

from elephant_server.messaging.handler import QueueLogHandler
from elephant_server.messaging.publisher import Publisher
from elephant_server.messaging.queues import Messages, NoBroker

__all__ = ["Messages", "NoBroker", "Publisher", "QueueLogHandler"]
