"""Request bodies as the client sends them, and what they mean inside: the one place where X, Y, Z becomes Z, Y, X."""
