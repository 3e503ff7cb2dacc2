"""Errors of an unusable broker."""

import pika.exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException

# The second is that of a broker that takes a connection and says nothing: pika has it apart from its other errors.
BROKER_ERRORS = (pika.exceptions.AMQPError, AMQPConnectorException, OSError)
