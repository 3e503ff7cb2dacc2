from core.cli.conftest import shell

__all__ = ["shell"]
