"""The InitKit tab of TensorBoard: its routes; `http_api.md` describes the replies.

TensorBoard imports this module when it starts, and an exception here would stop it:
standard library, numpy and TensorBoard only, and nothing that can fail.
"""

import functools
import json
import mimetypes
import pathlib
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import exceptions, wrappers

from keras_initkit_light.format import schema
from keras_initkit_light.format.described import KINDS
from keras_initkit_light.tab import data, listing
from keras_initkit_light.tab.parts import Cache, Part, Sampling

STATIC = pathlib.Path(__file__).with_name("static")
DEFAULT_SAMPLES, MAX_SAMPLES = 400, 10_000
# The readers keep 100 or 10 events a tag unless told otherwise. Each is a chunk, of one
# step in a slow training and of 32 in a fast one.
KEPT_CHUNKS = DEFAULT_SAMPLES
TAB_NAME = "InitKit"

_Parts: TypeAlias = "list[tuple[listing.Run, list[Part]]]"


class InitKitLoader(base_plugin.TBLoader):
    """Makes the plugin; the only one who can raise the readers' limit of steps."""

    def __init__(self) -> None:
        self._kept: int | None = None

    def fix_flags(self, flags: Any) -> None:
        """Asks for `KEPT_CHUNKS` chunks a tag, unless the user asks for a number."""
        samples = getattr(flags, "samples_per_plugin", None)
        if isinstance(samples, dict):
            self._kept = samples.setdefault(schema.PLUGIN_NAME, KEPT_CHUNKS)

    def load(self, context: Any) -> "InitKitPlugin":
        """Returns the plugin for a `TBContext`."""
        return InitKitPlugin(context, self._kept)


def _route(method: Callable[..., wrappers.Response]) -> Callable[..., Any]:
    """A method from request to response as a WSGI application, for GET only."""

    @wrappers.Request.application
    @functools.wraps(method)
    def serve(*args: Any) -> wrappers.Response:
        if args[-1].method not in ("GET", "HEAD"):
            raise exceptions.MethodNotAllowed(["GET", "HEAD"])
        return method(*args)

    return serve


class InitKitPlugin(base_plugin.TBPlugin):
    """Serves the tab and its data.

    `*_impl` methods return plain data and raise TensorBoard's typed errors; `*_route`
    methods parse the request, check it, and answer.
    """

    plugin_name = schema.PLUGIN_NAME

    def __init__(self, context: Any, kept: int | None = None):
        self._kept = kept
        self._data_provider = context.data_provider
        self._cache = Cache()

    def is_active(self) -> bool:
        # TensorBoard enables the tab by itself where a run has data of this plugin.
        return False

    def frontend_metadata(self) -> Any:
        return base_plugin.FrontendMetadata(
            es_module_path="/static/index.js", tab_name=TAB_NAME
        )

    def get_plugin_apps(self) -> dict[str, Any]:
        # One route a file: no path of a request ever reaches the file system.
        static = {
            f"/static/{path.relative_to(STATIC).as_posix()}": _static_route(path)
            for path in sorted(STATIC.rglob("*"))
            if path.is_file()
        }
        return {
            **static,
            "/index": self.index_route,
            "/statistic": self.statistic_route,
            "/tensor": self.tensor_route,
            "/metrics": self.metrics_route,
            "/findings": self.findings_route,
            "/facts": self.facts_route,
        }

    def index_impl(self, logs: data.Logs, known: str = "") -> dict[str, Any]:
        """Everything there is, values apart; a word if there is nothing new.

        Args:
            logs: All runs.
            known: The stamp of the index that is known.
        """
        stamped = {"stamp": logs.stamp, "now": time.time()}
        if known == stamped["stamp"]:
            return stamped
        hparams = logs.hparams()
        listed = logs.runs()
        logs.tell_ends(listed)
        tables = _Tables()
        runs = [
            {
                "run": run.run,
                "name": run.name,
                "series": [
                    {
                        "kind": series.kind,
                        "signal": series.signal,
                        "part": series.part,
                        "tensors": tables.number(series.tensors),
                        "columns": tables.number(series.columns),
                        "roles": tables.number(series.roles),
                    }
                    for series in run.series
                ],
                "hparams": _hparams_of(run.name, hparams),
                "notes": run.notes,
                "unclosed": run.unclosed,
                "stamp": run.stamp,
                "time": run.time,
            }
            for run in listed
        ]
        return {
            **stamped,
            "version": schema.DATA_VERSION,
            "signals": {
                s.name: {"source": s.source, "description": s.description}
                for s in schema.ALL_SIGNALS.values()
            },
            "statistics": {
                s.name: {
                    "unit": s.unit,
                    "minimum": s.minimum,
                    "maximum": s.maximum,
                    "description": s.description,
                }
                for s in schema.STATISTICS.values()
            },
            "roles": {"vectors": schema.VECTORS},
            "tables": tables.all,
            "runs": runs,
        }

    @_route
    def index_route(self, request: wrappers.Request) -> wrappers.Response:
        known = request.args.get("known", "")
        return _respond_json(request, self.index_impl(self._logs(request), known))

    def statistic_impl(
        self,
        logs: data.Logs,
        kind: str,
        signal: str,
        column: str,
        runs: list[str],
        sampling: Sampling,
    ) -> _Parts:
        """One column of all tensors of a signal, by run."""
        return logs.statistic(logs.runs(runs), kind, signal, column, sampling)

    @_route
    def statistic_route(self, request: wrappers.Request) -> wrappers.Response:
        parts = self.statistic_impl(
            self._logs(request),
            _choice(request, "kind", KINDS, KINDS[0]),
            _choice(request, "signal", schema.ALL_SIGNALS),
            _argument(request, "column"),
            request.args.getlist("run"),
            _sampling(request),
        )
        return _respond_parts(request, parts)

    def tensor_impl(
        self,
        logs: data.Logs,
        kind: str,
        signal: str,
        tensor: str,
        runs: list[str],
        sampling: Sampling,
    ) -> _Parts:
        """All columns of one tensor, by run."""
        return logs.tensor(logs.runs(runs), kind, signal, tensor, sampling)

    @_route
    def tensor_route(self, request: wrappers.Request) -> wrappers.Response:
        parts = self.tensor_impl(
            self._logs(request),
            _choice(request, "kind", KINDS, KINDS[0]),
            _choice(request, "signal", schema.ALL_SIGNALS),
            _argument(request, "tensor"),
            request.args.getlist("run"),
            _sampling(request),
        )
        return _respond_parts(request, parts)

    def metrics_impl(
        self, logs: data.Logs, runs: list[str], sampling: Sampling
    ) -> _Parts:
        """The metrics of the monitored steps, by run."""
        return logs.metrics(logs.runs(runs), sampling)

    @_route
    def metrics_route(self, request: wrappers.Request) -> wrappers.Response:
        parts = self.metrics_impl(
            self._logs(request), request.args.getlist("run"), _sampling(request)
        )
        return _respond_parts(request, parts)

    def findings_impl(self, logs: data.Logs, runs: list[str]) -> dict[str, Any]:
        """The newest list of findings of every run that has one."""
        found = {}
        for run, content in logs.texts(logs.runs(runs), schema.FINDINGS_TAG).items():
            findings = content.get("findings")
            if isinstance(findings, list):
                found[run] = [one for one in findings if isinstance(one, dict)]
        return {"runs": found}

    @_route
    def findings_route(self, request: wrappers.Request) -> wrappers.Response:
        findings = self.findings_impl(self._logs(request), request.args.getlist("run"))
        return _respond_json(request, findings)

    def facts_impl(self, logs: data.Logs, run: str) -> dict[str, Any]:
        """What a run says of itself."""
        (listed,) = logs.runs([run])
        return {
            "run": run,
            "facts": logs.texts([listed], schema.RUN_TAG).get(run, {}),
            "notes": listed.notes,
        }

    @_route
    def facts_route(self, request: wrappers.Request) -> wrappers.Response:
        facts = self.facts_impl(self._logs(request), _argument(request, "run"))
        return _respond_json(request, facts)

    def _logs(self, request: wrappers.Request) -> data.Logs:
        return data.Logs(
            self._data_provider,
            plugin_util.context(request.environ),
            plugin_util.experiment_id(request.environ),
            self._cache,
            self._kept,
        )


class _Tables:
    """Lists of names, each stored once."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, ...], int] = {}

    def number(self, names: tuple[str, ...]) -> int:
        return self._numbers.setdefault(names, len(self._numbers))

    @property
    def all(self) -> list[tuple[str, ...]]:
        return list(self._numbers)


def _hparams_of(name: str, hparams: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The hyperparameters of a run, or of the nearest directory above it."""
    while name not in hparams and "/" in name:
        name = name.rpartition("/")[0]
    return hparams.get(name, {})


def _static_route(path: pathlib.Path) -> Any:
    mimetype = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    # Windows' registry may say otherwise, and browsers refuse modules of another type.
    mimetype = {".js": "text/javascript", ".css": "text/css"}.get(path.suffix, mimetype)

    @_route
    def serve(request: wrappers.Request) -> wrappers.Response:
        return http_util.Respond(request, path.read_bytes(), mimetype)

    return serve


def _argument(request: wrappers.Request, name: str) -> str:
    values = request.args.getlist(name)
    if len(values) != 1 or not values[0]:
        raise errors.InvalidArgumentError(
            f"`{name}` must be given once. Received: {name}={values}"
        )
    return values[0]


def _choice(
    request: wrappers.Request,
    name: str,
    choices: Iterable[str],
    default: str | None = None,
) -> str:
    if default is not None and name not in request.args:
        return default
    value = _argument(request, name)
    if value not in choices:
        raise errors.InvalidArgumentError(
            f"`{name}` must be one of {tuple(choices)}. Received: {name}={value!r}"
        )
    return value


def _sampling(request: wrappers.Request) -> Sampling:
    at = request.args.get("at", "")
    if at and not re.fullmatch("[0-9]{1,18}", at):
        raise errors.InvalidArgumentError(
            f"`at` must be a step, an integer from 0. Received: at={at!r}"
        )
    return Sampling(_samples(request), int(at) if at else None)


def _samples(request: wrappers.Request) -> int:
    text = request.args.get("samples", str(DEFAULT_SAMPLES))
    if not re.fullmatch("[0-9]{1,5}", text) or not 2 <= int(text) <= MAX_SAMPLES:
        raise errors.InvalidArgumentError(
            f"`samples` must be an integer from 2 to {MAX_SAMPLES}. "
            f"Received: samples={text!r}"
        )
    return int(text)


def _respond_json(request: wrappers.Request, content: Any) -> wrappers.Response:
    return http_util.Respond(request, content, "application/json")


def _respond_parts(request: wrappers.Request, runs: _Parts) -> wrappers.Response:
    return http_util.Respond(request, encode(runs), "application/octet-stream")


def encode(runs: _Parts) -> bytes:
    """Packs values: length of the header, the header (JSON), the values (float32).

    All little-endian; the header is padded with blanks so that the values are aligned
    to 4 bytes. JSON would turn NaN into strings.
    """
    tables = _Tables()
    header: dict[str, Any] = {"runs": []}
    blocks: list[bytes] = []
    offset = 0
    for run, parts in runs:
        listed = []
        for part in parts:
            values = np.ascontiguousarray(part.values, "<f4")
            listed.append(
                {
                    "names": tables.number(part.names),
                    "steps": list(part.steps),
                    "offset": offset,
                }
            )
            blocks.append(values.tobytes())
            offset += values.size
        if listed or run.notes:
            header["runs"].append({"run": run.run, "parts": listed, "notes": run.notes})
    text = json.dumps({**header, "tables": tables.all}).encode()
    text += b" " * (-len(text) % 4)
    return b"".join([len(text).to_bytes(4, "little"), text, *blocks])
