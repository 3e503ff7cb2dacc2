"""Fast kernels of the networks' layers on a CPU."""
