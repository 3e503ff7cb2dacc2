"""Files that come with requests: models, and movies in pieces."""

from elephant_server.uploads.models import kept_upload
from elephant_server.uploads.movies import MovieUpload

__all__ = ["MovieUpload", "kept_upload"]
