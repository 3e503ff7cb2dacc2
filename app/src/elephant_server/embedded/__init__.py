"""The single-process server: no Redis, RabbitMQ, NGINX or root; on Linux, macOS and Windows."""
