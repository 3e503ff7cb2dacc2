"""Files that are whole, names that stay inside a folder, and downloads."""
