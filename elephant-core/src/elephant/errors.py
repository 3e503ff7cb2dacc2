"""The errors of the core. Each message says what was expected, what was found, and what to do."""


class ElephantError(Exception):
    """Base of all errors that a user can act on."""


class InvalidInputError(ElephantError):
    """A given value, spot or file is not valid."""


class NotFoundError(ElephantError):
    """A requested dataset, model or file does not exist."""


class DatasetError(ElephantError):
    """A dataset's folder, or a movie to make one from, is incomplete or damaged."""


class RemoteError(DatasetError):
    """A movie on another machine cannot be read, now or at all."""


class ForbiddenError(RemoteError):
    """The server of a movie does not let everybody read it, or, as some of S3, does not say whether it is there."""


class ModelFileError(ElephantError):
    """A model file is damaged, is not a model file, or holds a model of a different architecture."""


class DivergedError(ElephantError):
    """The loss of a training exploded: the model keeps the weights of its last good epoch."""


class InUseError(ElephantError):
    """Another job or program is changing the model, or uses the dataset that should be replaced."""


class ConflictError(ElephantError):
    """A change refers to something that another one has changed since, or is changing."""


class StorageError(ElephantError):
    """A file could not be written or read: the disk is full, or permissions are missing."""


class MemoryLimitError(ElephantError):
    """A job needs more memory than the device, or the machine, has."""


class PluginError(ElephantError):
    """A package that adds a reader or an exporter cannot be loaded, or failed: that package is at fault."""


class Cancelled(Exception):  # noqa: N818 - not an error: the user asked for it
    """Raised by a :class:`elephant.progress.CancelToken` to stop work."""


def reason_of(error: BaseException) -> str:
    """Return the reason of an error; it is never empty, although some system errors have no text."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
