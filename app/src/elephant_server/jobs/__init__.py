"""Long work: handing it to a worker, waiting for it, and doing it."""
