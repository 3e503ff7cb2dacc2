"""The launcher: starts Redis, RabbitMQ, the workers, uWSGI and NGINX, and stops all of it together.

``python -m elephant_server.deploy`` (or ``make serve-stack``). The programs are listed in
``supervisord.conf``; this package checks beforehand that they can run, renders the configuration, waits until the
server answers, and watches it.
"""
