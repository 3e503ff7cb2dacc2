"""Atomic writes, locks, paths that stay inside a folder, and downloads."""
