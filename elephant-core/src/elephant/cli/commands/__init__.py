"""The commands: each module declares one, as `command`, and imports slow modules only when it runs."""
