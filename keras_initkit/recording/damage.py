"""Reports on files that cannot be read, or not completely."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Missing:
    """Something that a log lost.

    Attributes:
        path: The file.
        what: What is missing and why, as a phrase.
        offset: Where in the file, in bytes; `None` if unknown.
    """

    path: str
    what: str
    offset: int | None = None

    def __str__(self) -> str:
        where = "" if self.offset is None else f" at byte {self.offset}"
        return f"{self.path}{where}: {self.what}"


class RunDamagedError(ValueError):
    """Nothing can be read from a file, or from a whole run.

    Attributes:
        path: The file, or the directory of the run.
        what: What is wrong with it.
        offset: Where, in bytes; `None` if unknown.
    """

    def __init__(self, path: str, what: str, offset: int | None = None):
        where = "" if offset is None else f" at byte {offset}"
        super().__init__(f"{path!r} cannot be read{where}: {what}.")
        self.path = path
        self.what = what
        self.offset = offset

    def __reduce__(self):
        return type(self), (self.path, self.what, self.offset)
