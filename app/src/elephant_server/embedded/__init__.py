"""The server without the stack: no Redis, RabbitMQ, NGINX or root; on Linux, macOS and Windows."""
