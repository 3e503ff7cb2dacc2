"""A demonstration: a movie, a few seconds of training on one timepoint, and a picture of what was found in the next.

It talks to a running server over HTTP and RabbitMQ exactly as the client does, and knows nothing else of it. In the
order in which it works: :mod:`options`, :mod:`movie`, :mod:`bodies` (what is sent), :mod:`client` and :mod:`watching`
(how it is sent, and what is seen meanwhile), :mod:`scoring`, :mod:`picture`, :mod:`run`.
"""
