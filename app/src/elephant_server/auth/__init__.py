"""The gate: every request passes it, whatever answers behind it. It asks for the token, the host and the origin."""
