"""What the event files of a run hold, values apart.

Nothing here trusts a file: what cannot be read, or was written by another version, is
left out and named in the notes of its run.
"""

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from keras_initkit_light.format import files, schema, sealing
from keras_initkit_light.format.described import Described, UnknownKindError

# What is wrong with a directory that TensorBoard takes for one run.
_SEVERAL = "files of several runs are in one directory: they are shown together"
_PART = re.compile(r"#(\d{1,6})(?=/|@|$)")


@dataclasses.dataclass(frozen=True)
class Series:
    """The matrices under one tag of one run.

    Attributes:
        tag: The tag.
        kind: One of `described.KINDS`, or `described.METRICS`.
        signal: Name of the signal; `""` for metrics.
        part: 0, or n where the rows of the signal changed for the n-th time.
        tensors: Labels of the rows, in forward order.
        roles: Role of each row's weight, out of `schema.ROLES`, `""` where it is not
            known; empty for signals of layers.
        columns: Names of the columns.
        last_step: The step that the newest chunk begins with.
        last_time: Wall time of the newest.
        first: Tag that holds the first matrix once more, `None` if there is none.
    """

    tag: str
    kind: str
    signal: str
    part: int
    tensors: tuple[str, ...]
    columns: tuple[str, ...]
    last_step: int
    last_time: float
    first: str | None = None
    roles: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of each of its matrices."""
        return len(self.tensors), len(self.columns)


@dataclasses.dataclass
class Run:
    """What one run holds, values apart.

    Attributes:
        run: Its name for TensorBoard, such as `"mlp"` or `"mlp/run-2"`.
        series: All matrices, parts of a signal in order.
        texts: Tags of the sealed texts: `schema.RUN_TAG` and others.
        notes: What could not be read, and why.
        unclosed: Why the run may hold less than was recorded, if its last file was not
            closed; else empty.
        stamp: `stamp_of` its tags.
        tags: All tags, readable or not.
        marked: Another value as soon as one more file was opened or closed.
    """

    run: str
    series: list[Series] = dataclasses.field(default_factory=list)
    texts: set[str] = dataclasses.field(default_factory=set)
    notes: list[str] = dataclasses.field(default_factory=list)
    unclosed: str = ""
    stamp: str = ""
    tags: frozenset[str] = frozenset()
    marked: tuple[int, float] | None = None

    @property
    def time(self) -> float | None:
        """Wall time of its newest matrices in seconds, `None` without any."""
        return max((series.last_time for series in self.series), default=None)

    @property
    def name(self) -> str:
        """The name a reader knows: that of its directory."""
        return self.run


def stamp_of(tags: Mapping[Any, Any]) -> str:
    """Returns a text that is another one as soon as more is written under the tags.

    Args:
        tags: What TensorBoard lists of each tag.
    """
    newest = sorted((tag, one.max_step, one.max_wall_time) for tag, one in tags.items())
    return hashlib.blake2b(repr(newest).encode(), digest_size=8).hexdigest()


def parse_run(name: str, tags: Mapping[str, Any]) -> Run:
    """Returns what a run holds, from what TensorBoard lists of its tags."""
    run = Run(name, stamp=stamp_of(tags), tags=frozenset(tags))
    if schema.FILE_TAG in tags:
        mark = tags[schema.FILE_TAG]
        run.marked = mark.max_step, mark.max_wall_time
    for tag, listed in sorted(tags.items()):
        if tag.endswith(schema.FIRST_SUFFIX):
            continue
        try:
            content = sealing.unseal(listed.plugin_content)
            if content.get("kind") == sealing.TEXT:
                run.texts.add(tag)
            else:
                described = Described.unsealed(listed.plugin_content)
                run.series.append(_series(tag, described, tags))
        except UnknownKindError:
            continue
        except sealing.OtherVersionError as error:
            age = "a newer" if error.version > schema.DATA_VERSION else "an older"
            run.notes.append(
                f"{tag}: written by {age} keras_initkit (data version {error.version}, "
                f"this tab reads {schema.DATA_VERSION})"
            )
        except ValueError:
            run.notes.append(f"{tag}: its description cannot be read")
    run.series.sort(key=lambda s: (s.kind, s.signal, s.part))
    return run


def tell_ends(
    run: Run, marks: Sequence[files.Opened | files.Closed], are_all: bool
) -> None:
    """Notes which files of a run were not closed or are gone, and which tags are lost.

    TensorBoard's readers end at the first damage in a file, and hand out no more of it;
    the one in Rust verifies no checksums, so that damage may also hide a tag.

    Args:
        run: The run.
        marks: What its files say.
        are_all: Whether the reader has kept all marks that there were.
    """
    run.notes += [
        f"{tag}: lost, with {count} steps or texts"
        for tag, count in counted(marks).items()
        if tag not in run.tags
    ]
    opened = [mark for mark in marks if isinstance(mark, files.Opened)]
    closed = {mark.file for mark in marks if isinstance(mark, files.Closed)}
    if not opened:
        if run.series:
            run.notes.append("no file says that it was opened: the beginning is lost")
        return
    if len({mark.run for mark in opened}) > 1:
        run.notes.append(_SEVERAL)
        return
    numbers = sorted(mark.file for mark in opened)
    if numbers[-1] not in closed:
        run.unclosed = "not closed: still being written, or killed, or cut off"
    gaps = files.gaps(opened)
    if are_all:
        run.notes += [f"{gap} of the run: missing" for gap in gaps]
    if are_all or not gaps:
        run.notes += [
            f"file {number} was not closed: its process was killed, or it is cut off"
            for number in numbers[:-1]
            if number not in closed
        ]


def counted(marks: Sequence[files.Opened | files.Closed]) -> dict[str, int]:
    """Returns how many steps each series has in the newest file that has some of it.

    Files are asked from the newest back to one that was not closed, which may have
    more; the same goes for texts. Of files of several runs nothing can be told.
    """
    if len({mark.run for mark in marks if isinstance(mark, files.Opened)}) > 1:
        return {}
    closed = {
        mark.file: mark.counts for mark in marks if isinstance(mark, files.Closed)
    }
    counts: dict[str, int] = {}
    file = max((mark.file for mark in marks), default=0)
    while file in closed:
        counts = {**closed[file], **counts}
        file -= 1
    return counts


def _series(tag: str, described: Described, tags: Mapping[str, Any]) -> Series:
    part = _PART.search(tag)
    first = tag + schema.FIRST_SUFFIX
    return Series(
        tag,
        described.kind,
        described.signal,
        int(part[1]) if part else 0,
        described.tensors,
        described.columns,
        tags[tag].max_step,
        tags[tag].max_wall_time,
        first if first in tags else None,
        described.roles,
    )
