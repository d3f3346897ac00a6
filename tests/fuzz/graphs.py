"""What TensorFlow's graph optimizer leaves of a step, watched or not.

Bits that agree on one batch may do so by chance; here what leads to each effect of the
bare step is looked for in the watched one, op by op, after all fusions.
"""

import collections
import dataclasses
import hashlib

from tensorflow.python.eager import context

import keras_initkit as kik
from tests.fuzz import models, trial

# Where the batch comes from, loops come around, or the order of arguments shows.
_BATCHES = ("IteratorGetNext", "OptionalGetValue")
# Merging constants may turn factors round.
_COMMUTING = ("Add", "AddV2", "AddN", "Mul", "Maximum", "Minimum")
_LEAVES = ("_Arg", "NextIteration", "Placeholder", *_BATCHES)


def differing(recipe):
    """Lists the effects of a bare step that the watched one comes to in another way."""
    # Data that run out have the plain step run once more, whose graph is that of bare.
    fed = "dataset" if recipe.fed == "unknown" else recipe.fed
    recipe = dataclasses.replace(
        recipe, execution=1, eager=False, fed=fed, evaluates=False
    )
    bare = _effects(recipe)
    monitor = kik.SignalMonitor(
        None, every=1, signals=recipe.signals, histograms=False, rules=None
    )
    watched = _effects(recipe, monitor)
    seen = {digest for digests in watched.values() for digest in digests}
    return [
        f"{effect}: {' '.join(ops)}"
        for effect, digests in bare.items()
        for digest, ops in digests.items()
        if digest not in seen
    ]


def _effects(recipe, *callbacks):
    with context.collect_graphs(optimized=True) as graphs:
        trial._trained(recipe, *callbacks)
    found: dict = collections.defaultdict(dict)
    for graph in graphs:
        nodes = {node.name: node for node in graph.node}
        if not any(node.op in _BATCHES for node in graph.node):
            continue
        digests: dict = {}
        for node in graph.node:
            if "Assign" in node.op:
                digest = _digest(node.name, nodes, digests)
                found[node.op][digest] = _behind(node, nodes)
    return found


def _digest(name, nodes, digests):
    left = [name]
    while left:
        node = nodes[left[-1]]
        if node.name in digests:
            left.pop()
            continue
        given = [_source(i) for i in node.input if i[0] != "^"]
        given = [] if node.op in _LEAVES else given
        given = given[:1] if node.op == "Merge" else given
        missing = [source for source, _ in given if source not in digests]
        left += missing
        if not missing:
            kind = "batch" if node.op in _BATCHES else node.op
            inputs = [f"{digests[source]}:{at}" for source, at in given]
            if node.op in _COMMUTING and len(inputs) == 2:
                inputs.sort()
            parts = [kind, *inputs]
            if node.op not in _LEAVES:
                parts += sorted(
                    f"{key}={value.SerializeToString(deterministic=True)!r}"
                    for key, value in node.attr.items()
                    if key[0] != "_" and "name" not in key and key not in _OF_PLACE
                )
            if node.op == "Identity":
                digests[node.name] = digests[given[0][0]]
            else:
                digests[node.name] = hashlib.sha1(repr(parts).encode()).hexdigest()
    return digests[name]


_OF_PLACE = ("body", "cond", "f", "then_branch", "else_branch", "output_shapes")


def _source(text):
    name, _, at = text.partition(":")
    return name, at or "0"


def _behind(node, nodes, most=14):
    """Names the ops nearest behind an effect."""
    found, left = [], [node]
    while left and len(found) < most:
        one = left.pop(0)
        found.append(one.op)
        if one.op not in _LEAVES:
            left += [nodes[_source(i)[0]] for i in one.input if i[0] != "^"]
    return found


if __name__ == "__main__":
    import sys

    for seed in range(*map(int, sys.argv[1].split(":"))):
        recipe = models.draw(seed)
        try:
            found = differing(recipe)
        except Exception as error:
            print(seed, type(error).__name__, str(error)[:100])
            continue
        print(seed, len(found), *found[:2], "|" if found else "", recipe, flush=True)
