"""What the event files of a run hold, values apart.

Nothing here trusts a file: what cannot be read, or was written by another version, is
left out and named in the notes of its run.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from keras_initkit_light.format import schema

# Kinds of matrices whose rows are tensors.
KINDS = ("statistics", "histogram", "time", "prediction")
_PART = re.compile(r"#(\d{1,6})(?=/|@|$)")


@dataclasses.dataclass(frozen=True)
class Series:
    """The matrices under one tag of one run.

    Attributes:
        tag: The tag.
        kind: One of `KINDS`, or `"metrics"`.
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
        run: Its name for TensorBoard, such as `"mlp/initkit"`.
        series: All matrices, parts of a signal in order.
        texts: Tags of the JSON texts, of `schema.RUN_TAG` and `schema.FINDINGS_TAG`.
        notes: What could not be read, and why.
    """

    run: str
    series: list[Series] = dataclasses.field(default_factory=list)
    texts: set[str] = dataclasses.field(default_factory=set)
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """The name a reader knows: that of the directory the monitor was given."""
        if self.run == schema.RECORD_RUN:
            return "."
        return self.run.removesuffix(f"/{schema.RECORD_RUN}")


def parse_run(name: str, tags: Mapping[str, Any]) -> Run:
    """Returns what a run holds, from what TensorBoard lists of its tags."""
    run = Run(name)
    for tag, listed in sorted(tags.items()):
        if tag.endswith(schema.FIRST_SUFFIX):
            continue
        try:
            content = json.loads(listed.plugin_content)
            version = content["v"]
            if version != schema.DATA_VERSION:
                age = "a newer" if version > schema.DATA_VERSION else "an older"
                run.notes.append(
                    f"{tag}: written by {age} keras_initkit (data version {version}, "
                    f"this tab reads {schema.DATA_VERSION})"
                )
            elif "kind" in content:
                run.series += _parse_series(tag, content, tags)
            else:
                run.texts.add(tag)
        except (KeyError, TypeError, ValueError):
            run.notes.append(f"{tag}: its description cannot be read")
    run.series.sort(key=lambda s: (s.kind, s.signal, s.part))
    return run


def _parse_series(
    tag: str, content: Mapping[str, Any], tags: Mapping[str, Any]
) -> list[Series]:
    """Returns the series that `content` describes, none for kinds of other versions."""
    kind = content["kind"]
    is_metrics = kind == "metrics"
    signal = "" if is_metrics else content["signal"]
    if not is_metrics and (kind not in KINDS or signal not in schema.SIGNALS):
        return []
    tensors = _strings(content["tensors"])
    if is_metrics and len(tensors) != 1:
        raise ValueError("`tensors` of metrics must be one.")
    part = _PART.search(tag)
    first = tag + schema.FIRST_SUFFIX
    return [
        Series(
            tag,
            kind,
            signal,
            int(part[1]) if part else 0,
            tensors,
            _strings(content["columns"]),
            tags[tag].max_step,
            tags[tag].max_wall_time,
            first if first in tags else None,
            _roles(content.get("roles"), len(tensors)),
        )
    ]


def _roles(values: Any, count: int) -> tuple[str, ...]:
    """Returns the roles of rows; those that are none of ours are not known."""
    if not isinstance(values, list) or len(values) != count:
        return ()
    known = [value if isinstance(value, str) else "" for value in values]
    return tuple(value if value in schema.ROLES else "" for value in known)


def _strings(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise ValueError("`values` must be a list of strings.")
    return tuple(values)
