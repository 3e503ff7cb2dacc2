"""The service between the ELEPHANT client of Mastodon and :mod:`elephant`."""

__version__ = "0.1.0"
