"""Generated reviews that replace IMDB if it is not available."""

from collections.abc import Mapping

import numpy as np

from keras_initkit.data._arrays import RawArrays
from keras_initkit.data._dataset import FIRST_WORD, START

_TRAIN, _TEST, _WORDS = 6000, 2000, 2000
_SHORTEST, _LONGEST = 40, 240
_SENTIMENT_SHARE = 0.12  # of the words of a review
_NEGATED_SHARE = 0.2  # of those: turned round by the word before
_WRONG_LABELS = 0.03
_COMMON = (
    "the and a of to is it in i this that was as for with movie but film on not "
    "you are his have be he one its at all by an they from who so like her just "
    "or about has if out some there what when more she even my up no time story "
    "plot scene actor character director ending screen camera music dialogue"
).split()
_GOOD = (
    "good great excellent wonderful best love loved perfect amazing beautiful "
    "brilliant fun enjoyed superb favorite fantastic touching moving charming "
    "delightful funny clever hilarious outstanding powerful gripping memorable "
    "gem masterpiece refreshing witty stunning"
).split()
_BAD = (
    "bad worst awful terrible boring waste poor stupid horrible dull worse lame "
    "annoying ridiculous pathetic mess weak disappointing crap predictable bland "
    "pointless tedious painful unfunny silly cheap flat forgettable ugly clumsy "
    "lifeless"
).split()
_NOT = "not"


def vocabulary_words() -> list[str]:
    """Returns the words of the made language, the most frequent first."""
    loaded = [word for pair in zip(_GOOD, _BAD, strict=True) for word in pair]
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    made = [a + b for a in syllables for b in syllables]
    return list(dict.fromkeys(_COMMON + loaded + made))[:_WORDS]


def standin_words() -> Mapping[int, str]:
    """Returns the word of every id of the generated reviews."""
    return dict(enumerate(vocabulary_words(), start=FIRST_WORD))


def standin_reviews(seed: int) -> RawArrays:
    """Makes reviews whose mood is in their good and bad words.

    A review leans to its side by a share of its own, some of its good and bad
    words are turned round by a "not" before them, and a few labels are wrong:
    counting words helps, reading their order helps more, nothing gets all.
    """
    rng = np.random.default_rng(seed)
    return RawArrays(*_made_reviews(_TRAIN, rng), *_made_reviews(_TEST, rng))


def _made_reviews(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.permutation(np.arange(n, dtype=np.int32) % 2)
    tokens = _neutral_tokens((n, _LONGEST), rng)
    loaded = rng.random(tokens.shape) < _SENTIMENT_SHARE
    negated = loaded & (rng.random(tokens.shape) < _NEGATED_SHARE)
    negated[:, 0] = False
    leaning = rng.uniform(0.6, 0.95, (n, 1))
    meant_good = (rng.random(tokens.shape) < leaning) == labels[:, None].astype(bool)
    first = FIRST_WORD + len(_COMMON)
    word = first + 2 * rng.integers(len(_GOOD), size=tokens.shape)
    tokens = np.where(loaded, word + (meant_good == negated), tokens)
    before = np.roll(negated, -1, axis=1)
    before[:, -1] = False
    tokens[before] = FIRST_WORD + _COMMON.index(_NOT)
    flipped = rng.random(n) < _WRONG_LABELS
    return _cut(tokens, rng), np.where(flipped, 1 - labels, labels).astype(np.int32)


def _neutral_tokens(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draws words without a mood, the frequent ones more often (Zipf's law)."""
    words = vocabulary_words()
    moody = {_NOT, *_GOOD, *_BAD}
    ranks = np.array([i for i, word in enumerate(words) if word not in moody])
    chances = np.cumsum(1.0 / (ranks + 5.0))
    drawn = np.searchsorted(chances, rng.random(shape) * chances[-1])
    tokens: np.ndarray = FIRST_WORD + ranks[drawn]
    return tokens


def _cut(tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gives every review a length of its own and the mark of its start."""
    tokens[:, 0] = START
    lengths = rng.integers(_SHORTEST, _LONGEST + 1, size=len(tokens))
    rows = np.empty(len(tokens), dtype=object)
    for i, length in enumerate(lengths):
        rows[i] = tokens[i, :length]
    return rows
