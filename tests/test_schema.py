"""Names and tags."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_initkit import schema

# Lone halves of UTF-16 pairs among them.
names = st.text(st.characters(), min_size=1, max_size=20)


@given(
    st.sampled_from(tuple(schema.ALL_SIGNALS)),
    st.lists(names.map(lambda n: n.replace("/", "")).filter(bool), min_size=1),
    names.map(lambda n: n.replace("/", "")).filter(bool),
    st.integers(0, 30),
    st.sampled_from(tuple(schema.STATISTICS)),
)
def test_tag_round_trip(signal, path, tensor, call, statistic):
    key = schema.TensorKey("/".join(path), tensor, call)
    tag = schema.tag(signal, key, statistic)
    assert schema.parse_tag(tag) == (signal, key, statistic)
    tag.encode()  # as event files have it


@given(st.lists(names, min_size=1, unique=True), st.lists(names, unique=True))
def test_metrics_of_other_names_have_other_tags(some, others):
    tags = schema.metrics_tag(some), schema.metrics_tag(others)
    assert (tags[0] == tags[1]) == (some == others)
    assert not tags[0].endswith(schema.FIRST_SUFFIX)
    tags[0].encode()


def test_parse_tag_of_another_tool_is_refused():
    with pytest.raises(ValueError, match=re.escape("Received: text='epoch_loss'")):
        schema.parse_tag("epoch_loss")


def test_check_signals_sorts_and_names_the_choices():
    assert schema.check_signals(("weight", "activation")) == ("activation", "weight")
    message = (
        "`signals` must name at least one of ('activation', 'preactivation', "
        "'backprop', 'gradient', 'weight', 'update', 'inference', 'state'). "
        "Received: signals=('grads',)"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        schema.check_signals(("grads",))


def test_every_statistic_names_known_signals():
    for statistic in schema.STATISTICS.values():
        assert set(statistic.signals) <= set(schema.ALL_SIGNALS)
        assert statistic.minimum < statistic.maximum


def test_histogram_columns_are_as_many_as_declared():
    assert len(schema.HISTOGRAM_COLUMNS) == schema.OCTAVES + 4
