"""Whole pieces of work, as a service or a script asks for them."""
