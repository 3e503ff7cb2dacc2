"""Atomic writes, paths that stay inside a folder, and downloads."""
