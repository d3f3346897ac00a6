"""The published programs: what `programs.json` holds, read once."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import keras

from benchmarks.published.data import Examples, examples_of

PATH = pathlib.Path(__file__).with_name("programs.json")
TOOLS = ("UMLAUT", "AutoTrainer", "DeepLocalize", "DeepFD")
HALVES = ("even", "odd")
Spec = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Program:
    """One program of the benchmark.

    Attributes:
        post: Number of the post at Stack Overflow, or name of the repository.
        origin: The study that it comes from.
        truth: Types of its faults, in DeepFD's words; none for the healthy one.
        published: `{tool: (detected, diagnosed, localised)}`, 0 or 1.
        tier: `"faithful"`, `"approximate"`, or `"unavailable"`.
        data: `"real"`, `"generated"` by the program's own rule, or `"stand-in"`.
        faults: What is wrong with it, in our words (`scoring.TYPES`).
        fair: Other findings that are true of it.
        fair_of_twin: Findings that are true of its twin.
        confirmed: Whether the twin was seen to learn better, over several seeds or in
            one run.
        faulty: The program, `None` where it is unavailable.
        twin: The program mended, `None` where there is none.
    """

    post: int | str
    origin: str
    truth: tuple[str, ...]
    published: Mapping[str, tuple[int, int, int]]
    tier: str
    data: str | None = None
    faults: tuple[str, ...] = ()
    fair: tuple[str, ...] = ()
    fair_of_twin: tuple[str, ...] = ()
    confirmed: bool = False
    faulty: Spec | None = None
    twin: Spec | None = None

    @property
    def half(self) -> str:
        """`"even"` or `"odd"`, by the post's number; a repository has none: odd."""
        return "even" if isinstance(self.post, int) and self.post % 2 == 0 else "odd"

    @property
    def mended(self) -> frozenset[str]:
        """Places where program and twin differ: `"loss"`, `"input"`, `"dense_1"`..."""
        return frozenset(_differences(self.faulty, self.twin))


@functools.cache
def _content() -> Mapping[str, Any]:
    return json.loads(PATH.read_text())


def programs() -> list[Program]:
    """Returns all programs, in the order of DeepFD's workbook."""
    return [
        Program(**{k: tuple(v) if isinstance(v, list) else v for k, v in one.items()})
        for one in _content()["programs"]
    ]


def build(spec: Spec) -> tuple[keras.Model, Examples]:
    """Returns the compiled model of a program, and its examples."""
    examples = examples_of(spec, _content())
    layers = [layer_of(one) for one in spec["layers"]]
    model = keras.Sequential([keras.Input(examples.x.shape[1:]), *layers])
    model.compile(
        keras.optimizers.get(_object(spec["optimizer"], "name")), spec["loss"]
    )
    return model, examples


def steps_of(spec: Spec, examples: int) -> int:
    """Returns how many optimizer iterations are run: the program's own, cut short."""
    return min(spec["most_steps"], spec["epochs"] * -(-examples // spec["batch_size"]))


def layer_of(given: Mapping[str, Any]) -> keras.layers.Layer:
    """Returns the layer of `{"type": class, argument: value}`."""
    arguments = {name: _argument(name, value) for name, value in given.items()}
    return getattr(keras.layers, arguments.pop("type"))(**arguments)


def _argument(name: str, value: Any) -> Any:
    if name == "layer":
        return layer_of(value)
    return _object(value, "class") if isinstance(value, dict) else value


def _object(given: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Returns `{"class": name, argument: value}` as Keras's `get` takes it."""
    config = dict(given)
    return {"class_name": config.pop(key), "config": config}


def _differences(faulty: Spec | None, twin: Spec | None) -> list[str]:
    if faulty is None or twin is None:
        return []
    settings = ("input", "target", "loss", "optimizer", "batch_size", "epochs")
    changed = [name for name in settings if faulty.get(name) != twin.get(name)]
    names = _layer_names(faulty["layers"])
    if len(faulty["layers"]) != len(twin["layers"]):
        return [*changed, *names]
    pairs = zip(names, faulty["layers"], twin["layers"], strict=True)
    return [*changed, *(name for name, before, after in pairs if before != after)]


def _layer_names(layers: list[Mapping[str, Any]]) -> list[str]:
    """Returns the names that Keras gives to layers in a fresh session."""
    keras.backend.clear_session()
    return [layer_of(one).name for one in layers]
