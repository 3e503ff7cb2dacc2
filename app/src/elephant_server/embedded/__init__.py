"""A server that is one process: no Redis, RabbitMQ, NGINX or root; on Linux, macOS and Windows."""
