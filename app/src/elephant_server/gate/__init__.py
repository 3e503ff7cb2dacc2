"""The gate: every request passes it, whatever answers behind it. It asks for the token, the host and the origin."""

from elephant_server.gate.limits import limit_bodies
from elephant_server.gate.middleware import Gate
from elephant_server.gate.tokens import Tokens, read_tokens, tokens_of

__all__ = ["Gate", "Tokens", "limit_bodies", "read_tokens", "tokens_of"]
