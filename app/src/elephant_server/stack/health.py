"""Say whether the server on this machine answers: ``python -m elephant_server.stack.health``, for a container.

The status is 0 where it does, else 1.
"""

import sys

from elephant_server.settings import SettingsError, load_settings
from elephant_server.stack.readiness import gpu_names


def main() -> int:
    """Ask the server that the settings describe, and return the status."""
    try:
        settings = load_settings()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    device = gpu_names(settings)
    print(f"computes on {device}" if device else f"no server answers at {settings.http_url}")
    return 0 if device else 1


if __name__ == "__main__":
    sys.exit(main())
