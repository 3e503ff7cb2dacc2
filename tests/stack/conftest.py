"""What tests of the stack share."""

from stack.ordinary import python, readable

__all__ = ["python", "readable"]
