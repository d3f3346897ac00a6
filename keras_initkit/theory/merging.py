"""Sums, products and concatenations of several tensors, with their constants."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_initkit.theory._quadrature import Array
from keras_initkit.theory.signals import (
    DRAWS,
    SPREAD,
    Part,
    Signal,
    are_too_spread,
    generator,
    moments_of_draws,
)
from keras_initkit.theory.step import Call, Step, Untreatable, entries


def combination(call: Call, factors: Sequence[float]) -> Step:
    """Adds up the inputs of a call, each times a factor."""
    inputs = _beside_each_other(call)
    pairs = list(zip(factors, inputs, strict=True))
    roots = _joint_roots(inputs)
    parts: dict[int, Part] = {}
    for factor, x in pairs:
        for number, part in x.parts.items():
            held = parts.get(number)
            sum_ = factor * part.factor + (0.0 if held is None else held.factor)
            parts[number] = part._replace(factor=sum_)

    def make(number: int) -> Array:
        drawn = [factor * x.draws for factor, x in pairs]
        return np.sum(drawn, axis=0)

    mean = sum(factor * x.mean for factor, x in pairs)
    related = _are_related([part.roots for part in parts.values()])
    known = all(x.shared is not None for x in inputs)
    if related:
        second, mean, common = moments_of_draws(make(-1))
    else:
        squares = [(part.factor**2, part) for part in parts.values()]
        second = sum(square * part.variance for square, part in squares) + mean**2
        common = sum(square * (part.shared or 0.0) for square, part in squares)
        common += mean**2
    output = Signal(
        second,
        mean,
        common if known else None,
        any(x.rough for x in inputs),
        all(x.gaussian for x in inputs) and not related,
        parts,
        roots,
        make=make if all(x.is_drawable for x in inputs) else None,
    )
    backward = tuple(factor**2 for factor in factors)
    return _of_entries(call, output, backward, tuple(factors), related)


def product(call: Call) -> Step:
    """Multiplies the inputs of a call."""
    inputs = _beside_each_other(call)
    roots = _joint_roots(inputs)
    related = _are_related([frozenset(x.roots) for x in inputs])

    def make(number: int) -> Array:
        return np.prod([x.draws for x in inputs], axis=0)

    def of_others(at: int) -> Array:
        others = [x.draws[0] for n, x in enumerate(inputs) if n != at]
        return np.prod(others, axis=0)

    known = all(x.shared is not None for x in inputs)
    places = range(len(inputs))
    if related:
        second, mean, common = moments_of_draws(make(-1))
        backward = tuple(float(np.mean(of_others(n) ** 2)) for n in places)
    else:
        second = math.prod(x.second_moment for x in inputs)
        mean = math.prod(x.mean for x in inputs)
        common = math.prod(x.shared or 0.0 for x in inputs)
        backward = tuple(
            math.prod(x.second_moment for m, x in enumerate(inputs) if m != n)
            for n in places
        )
    output = Signal(
        second,
        mean,
        common if known else None,
        any(x.rough for x in inputs),
        gaussian=False,
        roots=roots,
        make=make if all(x.is_drawable for x in inputs) else None,
    )
    slopes = tuple((lambda number, at=n: of_others(at)) for n in places)
    return _of_entries(call, output, backward, slopes, related)


def joined(call: Call) -> Step:
    """Puts the inputs of a call side by side."""
    axis = call.layer.axis
    rank = len(call.output_shape)
    if axis % rank == 0:
        raise Untreatable("joins examples")
    sizes = [entries(shape) for shape in call.shapes]
    shares = [size / sum(sizes) for size in sizes]
    parts = list(zip(shares, call.inputs, strict=True))
    # Units side by side keep what they share; positions of one unit are compared.
    known = axis % rank == rank - 1 and all(x.shared is not None for x in call.inputs)
    first = call.inputs[0]
    alike = all(
        math.isclose(x.second_moment, first.second_moment, rel_tol=1e-6)
        and math.isclose(x.mean, first.mean, rel_tol=1e-6, abs_tol=1e-12)
        for x in call.inputs
    )

    def make(number: int) -> Array:
        at = generator(number).choice(len(shares), DRAWS, p=shares)
        drawn = np.stack([x.draws for x in call.inputs])
        return drawn[at, :, np.arange(DRAWS)].T

    output = Signal(
        sum(share * x.second_moment for share, x in parts),
        sum(share * x.mean for share, x in parts),
        sum(share * (x.shared or 0.0) for share, x in parts) if known else None,
        any(x.rough for x in call.inputs),
        alike and all(x.gaussian for x in call.inputs),
        origins=frozenset().union(*(_all_origins(x) for x in call.inputs)),
        make=make if all(x.is_drawable for x in call.inputs) else None,
    )
    return Step(output, None, (1.0,) * len(call.inputs))


def _beside_each_other(call: Call) -> list[Signal]:
    """Returns the inputs of a call; what is repeated along an axis is a source."""
    size = entries(call.output_shape)
    return [
        x if entries(shape) == size else x.as_source().numbered(-2 - x.number)
        for x, shape in zip(call.inputs, call.shapes, strict=True)
    ]


def _of_entries(
    call: Call,
    output: Signal,
    backward: tuple[float, ...],
    slopes: tuple[Any, ...],
    drawn: bool,
) -> Step:
    """Returns the step; where an input is repeated, its gradients add up."""
    spread = drawn and (not output.is_drawable or are_too_spread(output.draws))
    output = dataclasses.replace(output, rough=output.rough or spread)
    note = SPREAD if spread else ""
    size = entries(call.output_shape)
    repeats = [size / entries(shape) for shape in call.shapes]
    if all(one == 1 for one in repeats):
        return Step(output, None, backward, slopes, spread, note=note)
    whole = tuple(b * n for b, n in zip(backward, repeats, strict=True))
    return Step(output.as_source(), None, whole, rough_backward=spread, note=note)


def _all_origins(x: Signal) -> frozenset[int]:
    return frozenset(x.roots).union(*x.roots.values())


def _joint_roots(inputs: Sequence[Signal]) -> dict[int, frozenset[int]]:
    """Returns the sources of all inputs.

    Raises:
        Untreatable: If two of them depend on one another, or on one kernel, in a way
            that is not entry by entry.
    """
    joint: dict[int, frozenset[int]] = {}
    for x in inputs:
        new = {n: origins for n, origins in x.roots.items() if n not in joint}
        old = {n: origins for n, origins in joint.items() if n not in x.roots}
        if _depend(new, old):
            raise Untreatable(
                "its inputs share a kernel, or a history that is not entry by entry: "
                "how they correlate is not known"
            )
        joint.update(new)
    return joint


def _depend(
    one: Mapping[int, frozenset[int]], other: Mapping[int, frozenset[int]]
) -> bool:
    of_one = frozenset(one).union(*one.values())
    of_other = frozenset(other).union(*other.values())
    return not of_one.isdisjoint(of_other)


def _are_related(roots: Sequence[frozenset[int]]) -> bool:
    """Whether two of several sets of sources have one in common."""
    seen: set[int] = set()
    for one in roots:
        if not seen.isdisjoint(one):
            return True
        seen |= one
    return False
