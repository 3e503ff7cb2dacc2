"""The one error of the demonstration."""


class DemoError(Exception):
    """Something that the person who started the demonstration can put right; the message says how."""
