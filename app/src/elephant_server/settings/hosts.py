"""Names and addresses of machines."""

import ipaddress
import socket


def is_this_machine(host: str) -> bool:
    """Return whether the launcher itself has to start a service at ``host``."""
    name = host.strip("[]").lower()
    if name in ("localhost", socket.gethostname().lower()):
        return True
    return is_loopback(name) or is_unspecified(name)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_unspecified(host: str) -> bool:
    """Return whether an address stands for all addresses of a machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def in_url(host: str) -> str:
    """Return a host as it stands in a URL: addresses of IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
