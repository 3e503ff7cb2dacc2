"""How well found nuclei and tracks agree with true ones."""
