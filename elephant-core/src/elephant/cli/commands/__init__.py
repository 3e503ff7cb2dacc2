"""The commands: each module declares one, as `command`, and imports what is slow only when it runs."""
