"""`Listeners`: who wants what of a model's steps."""

import collections
from collections.abc import Mapping

from keras_initkit import schema
from keras_initkit.capture.guard import RefusedError
from keras_initkit.capture.requests import Wish, fullest
from keras_initkit.capture.tapping import building
from keras_initkit.capture.tapping import layers as tapped_layers
from keras_initkit.capture.tapping.expected import expected_tensors
from keras_initkit.structure.selection import Selection

_FULL = "full"


class Listeners:
    """Those who want something of a model's steps, and what of each.

    Layers are looked up when the model is built, at the latest when all is asked for
    that they want.

    Args:
        model: Weak reference to the model.
        phase: `phases.Phase`: whether it is about steps that train or that test.
    """

    def __init__(self, model, phase):
        self._model = model
        self._phase = phase
        # By listener: what it said, what that means in this model, what is not tapped.
        self._heard: dict = {}
        self._wishes: dict = {}
        self._untapped: dict = {}

    def __contains__(self, listener):
        return listener in self._heard

    def add(self, listener, signals, selection, histograms, goes_on):
        """Takes in what a listener wants, as `Session.listen` is told.

        Raises:
            RefusedError: If the selection names what a built model does not have.
        """
        self._wishes.pop(listener, None)
        selection = selection or Selection()
        by_detail = signals if isinstance(signals, Mapping) else {_FULL: signals}
        self._heard[listener] = (by_detail, selection, histograms, goes_on)
        if building.is_built(self._model()):
            try:
                self._understand()
            except ValueError as error:
                self.remove(listener)
                raise RefusedError(str(error)) from None

    def remove(self, listener):
        """Takes a listener off."""
        for by_listener in (self._heard, self._wishes, self._untapped):
            by_listener.pop(listener, None)

    def _understand(self):
        """Looks up what the listeners named, in a built model."""
        model = self._model()
        for listener in self._heard.keys() - self._wishes.keys():
            by_detail, selection, histograms, _ = self._heard[listener]
            chosen, self._untapped[listener] = tapped_layers.choose_layers(
                model, selection
            )
            weights = self._phase.weights(model, selection)
            self._wishes[listener] = {
                detail: Wish(
                    tuple(signals),
                    tuple(chosen),
                    weights,
                    histograms and detail == _FULL,
                    detail,
                )
                for detail, signals in by_detail.items()
            }

    def any_goes_on(self):
        """Whether any goes on with what it recorded of this model."""
        return any(goes_on for *_, goes_on in self._heard.values())

    def fullest_detail(self):
        """Returns the detail in which everything that they want is there."""
        return fullest(
            {one for by_detail, *_ in self._heard.values() for one in by_detail}
        )

    def wish(self, listener, detail=None):
        """Returns the `Wish` of a listener, `None` where none is known.

        Args:
            listener: The listener.
            detail: One of `schema.DETAILS`; that which holds all by default.
        """
        wishes = self._wishes.get(listener)
        return None if wishes is None else wishes[detail or fullest(wishes)]

    def wish_of_all(self, detail, anew=False):
        """Returns what all listeners wish for together, where a detail is recorded.

        In full detail, those who only want norms, too, get theirs.

        Args:
            detail: One of `schema.DETAILS`.
            anew: Whether names of layers are to be looked up again.
        """
        if anew:
            self._wishes.clear()
        self._understand()
        wishes = [
            wish
            for by_detail in self._wishes.values()
            for wish in by_detail.values()
            if detail in (_FULL, wish.detail)
        ]
        return Wish(
            _tapped_signals(signal for wish in wishes for signal in wish.signals),
            tuple({layer: None for wish in wishes for layer in wish.layers}),
            {k: v for wish in wishes for k, v in wish.weights.items()},
            any(wish.histograms for wish in wishes),
            detail,
        )

    def untapped(self, listener, twins):
        """Lists the `layers.Untapped` among a listener's layers, after a step.

        Args:
            listener: The listener.
            twins: The `Watched` twins of the step.
        """
        wish = self.wish(listener)
        own = wish.owners()
        called = set().union(*(one.called for one in twins))
        reasons = collections.ChainMap(*(one.unseen for one in twins))
        unseen = {
            **{
                name: "is not called in the train step"
                for name, _ in wish.layers
                if name not in called
            },
            **{layer: why for layer, why in reasons.items() if layer in own},
        }
        return [
            *self._untapped[listener],
            *(tapped_layers.Untapped(*one) for one in unseen.items()),
        ]

    def expected(self, listener):
        """Tells what a step will show a listener, if the model is built.

        Returns:
            What `expected_tensors` tells, or `None`.
        """
        wish = self.wish(listener)
        if wish is None:
            return None
        return expected_tensors(self._model(), wish.signals, wish.layers, wish.weights)


def _tapped_signals(signals):
    """Returns signals in order, with the weights that updates are compared with."""
    signals = set(signals)
    return schema.check_signals(
        (*signals, "weight") if "update" in signals else tuple(signals)
    )
