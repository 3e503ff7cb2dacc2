"""A demonstration: a movie, a few seconds of training on one timepoint, and a picture of what is found in the next.

It drives a running server with :class:`elephant_server.client.Client`, and knows nothing else of it.
"""
