"""Access control of all requests: the token, the host and the origin."""
