"""Errors about data files, for callers that need to distinguish them.

DataError                 (ValueError)
├── DataFileError a file exists but cannot be used └── DataUnavailableError real data
were requested but are not available StandInWarning (UserWarning) a stand-in took over
"""


class DataError(ValueError):
    """Base class of the errors about data files."""


class DataFileError(DataError):
    """A data file exists but is damaged or not of the documented form.

    Attributes:
        path: The file, as a string.
    """

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class DataUnavailableError(DataError):
    """Real data were requested but could neither be found nor downloaded.

    Attributes:
        name: The data set, or the file of it, that is missing.
    """

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class StandInWarning(UserWarning):
    """A stand-in took the place of a real data set."""
