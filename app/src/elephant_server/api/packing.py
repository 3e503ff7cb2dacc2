"""Long answers are sent compressed to those who can read that.

The released client says that it can, too, so only what it never asks for is compressed.
"""

import gzip

from flask import Response, request

SMALLEST_PACKED = 1 << 10
_LEVEL = 1  # the quickest: it is waited for


def packed(response: Response) -> Response:
    """Compress an answer, if it is whole, worth it, and its reader can decompress it."""
    response.vary.add("Accept-Encoding")
    if response.status_code != 200 or not request.accept_encodings.quality("gzip"):
        return response
    content = response.get_data()
    if len(content) >= SMALLEST_PACKED:
        response.set_data(gzip.compress(content, _LEVEL))
        response.headers["Content-Encoding"] = "gzip"
    return response
