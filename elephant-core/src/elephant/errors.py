"""The errors of the core. Each message says what was expected, what came and what to do about it."""


class ElephantError(Exception):
    """Base of every error that a person can do something about."""


class InvalidInputError(ElephantError):
    """A value, a spot or a file that was given does not make sense."""


class NotFoundError(ElephantError):
    """A dataset, a model or a file that was asked for is not there."""


class DatasetError(ElephantError):
    """A dataset's folder, or a movie to make one from, is incomplete or damaged."""


class ModelFileError(ElephantError):
    """A model file is damaged, is not a model file, or holds a model of another architecture."""


class DivergedError(ElephantError):
    """The loss of a training exploded: the model keeps the weights of its last good epoch."""


class InUseError(ElephantError):
    """Somebody else is changing a model, or uses a dataset that was to be replaced; maybe another program."""


class StorageError(ElephantError):
    """Something could not be written or read: the disk is full, or a folder may not be written."""


class MemoryLimitError(ElephantError):
    """A piece of work needs more memory than the device, or the machine, has."""


class PluginError(ElephantError):
    """A package that adds a reader or an exporter cannot be loaded, or failed: that package is at fault."""


class Cancelled(Exception):  # noqa: N818 - not an error: somebody asked for it
    """Raised from a :class:`elephant.progress.CancelToken` where work was asked to end."""


def reason_of(error: BaseException) -> str:
    """Return why something failed, in words that are never empty: some errors of the system carry none."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
