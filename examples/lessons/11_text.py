"""Lesson 11: reviews through recurrent networks, and gradients back through time.

    python examples/lessons/11_text.py
    tensorboard --logdir logdir/lessons/11_text

The slide has only a forward pass. Here a SimpleRNN and an LSTM learn the sentiment of
film reviews, and the gradient that reaches each word is recorded before the first
update.
"""

import math

import keras
import numpy as np

import keras_initkit as kik
from keras_initkit.experiments import Reused
from keras_initkit.lessons import Check, Result
from keras_initkit.report import drawing

# Of input and recurrent kernels alike.
NAMES = ("zero", "random", "slide_xavier", "slide_he", "orthogonal")
DECK = 0.4327  # output of the slide's network from its Xavier
WORDS = 100  # of a review
TEST = 1000


def slide_outputs(draws):
    """Returns the slide network's outputs for its three words, over many draws."""
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((3,), dtype="int32"),
            layers.Embedding(1000, 100, name="embedding"),
            layers.SimpleRNN(100, "sigmoid", name="rnn"),
            layers.Dense(1, "sigmoid", name="output"),
        ]
    )
    ids = np.array([[42, 256, 789]])
    return {
        name: kik.over_draws(model, ids, name, draws=draws).outputs.ravel()
        for name in ("zero", "slide_xavier")
    }


def train(model_name, data, names, log_dir):
    """Trains for an epoch from each initializer, recurrent kernels included."""

    def build(initializer, seed):
        return kik.models.build(
            model_name, initializer, recurrent_initializer=initializer, seed=seed,
            maxlen=WORDS,
        )  # fmt: skip

    start = Reused(build)  # traced once
    runs = kik.compare(
        start, data, names, seeds=1, epochs=1, log_dir=log_dir, batch_size=64, every=10
    ).runs
    return {run.initializer: run for run in runs}


def through_time(run):
    """Returns the rms of dL/d(word vector) for each word, before the first update."""
    return run.record.through_time("backprop", "embedding", step=0)


def per_step(back, words=20):
    """Returns the gradient's mean factor per time step back, over the last words."""
    if not back[-1]:
        return math.nan
    return float(back[-1 - words] / back[-1]) ** (1 / words)


def draw(rnn, lstm, path):
    """Draws the gradient of every word, and the training losses."""
    figure, panels = drawing.new_figure(1, 3, (15, 4.4))
    styles = drawing.styles(rnn)
    for axes, runs, title in zip(
        panels[0], (rnn, lstm), ("SimpleRNN", "LSTM"), strict=False
    ):
        back = {name: through_time(run)[None] for name, run in runs.items()}
        for name in back.keys() - {"zero"}:
            # So small that its square is 0 in float32.
            back[name] = np.where(back[name] == 0, np.nan, back[name])
        marked = {name: {**styles[name], "markevery": 12} for name in back}
        drawing.draw_depth(axes, np.arange(WORDS) - WORDS + 1, back, marked)
        axes.set(
            title=f"{title}: gradient through time, step 0",
            xlabel="word, counted from the last one",
            ylabel="rms of dL/d(word vector)",
        )
    reached = {
        name: f"{name}: accuracy {run.accuracy:.3f}" for name, run in rnn.items()
    }
    curves = {name: run.loss_curve() for name, run in rnn.items()}
    drawing.draw_losses(panels[0, 2], curves, reached)
    panels[0, 2].set(title="SimpleRNN (random: above)", ylim=(0.6, 0.8))
    return drawing.complete(figure, path)


def run(log_dir, source="auto", limit=3_200, draws=50):
    outputs = slide_outputs(draws)
    several = outputs["slide_xavier"]
    low, high = several.min(), several.max()
    data = kik.data.load(
        "imdb", source=source, limit=limit, test_limit=TEST, maxlen=WORDS
    )
    rnn = train("imdb_rnn", data, NAMES, log_dir / "rnn")
    lstm = train(
        "imdb_lstm", data, ("zero", "slide_xavier", "orthogonal"), log_dir / "lstm"
    )
    untrained = {
        name: keras.ops.sigmoid(
            kik.models.build(name, "zero", recurrent_initializer="zero", maxlen=WORDS)(
                data.x_test[:64]
            )
        )
        for name in ("imdb_rnn", "imdb_lstm")
    }
    half = all(bool(np.all(np.asarray(out) == 0.5)) for out in untrained.values())
    factor = {name: per_step(through_time(one)) for name, one in rnn.items()}
    lost = -20 * math.log10(factor["slide_xavier"])
    return Result(
        slide=11,
        title="text",
        claim="A recurrent network of zeros answers 0.5, whatever it reads; from "
        "Xavier 0.4327.",
        deck="zero 0.5000, Xavier 0.4327",
        measured=f"zero {outputs['zero'].mean():.4f}; Xavier between {low:.3f} and "
        f"{high:.3f} in {draws} draws",
        checks=(
            Check(
                "from zeros the output is 0.5",
                f"{outputs['zero'].min()} to {outputs['zero'].max()}, its three words",
                bool(np.all(outputs["zero"] == 0.5)),
                by_slide=True,
            ),
            Check(
                "from the slide's Xavier it is another number: 0.4327 is one draw",
                f"{several.mean():.3f} ± {several.std():.3f}",
                low < DECK < high,
                by_slide=True,
            ),
            Check(
                "SimpleRNN and LSTM from zeros answer exactly 0.5 for every review",
                f"{len(data.x_test[:64])} reviews",
                half,
            ),
            Check(
                "no gradient reaches any word then",
                f"largest rms {through_time(rnn['zero']).max():.3g}",
                not through_time(rnn["zero"]).any()
                and not through_time(lstm["zero"]).any(),
            ),
            Check(
                "the slide's Xavier forgets: the gradient shrinks by about √3 a word",
                f"×{factor['slide_xavier']:.3f} a word (1/√3 = {3**-0.5:.3f}), "
                f"{lost:.1f} decades over 20 words; orthogonal "
                f"×{factor['orthogonal']:.3f}",
                0.45 < factor["slide_xavier"] < 0.7 < 0.9 < factor["orthogonal"],
            ),
        ),
        figures={f"factor_{name}": value for name, value in factor.items()}
        | {f"accuracy_rnn_{name}": one.accuracy for name, one in rnn.items()}
        | {f"accuracy_lstm_{name}": one.accuracy for name, one in lstm.items()}
        | {"output_zero": float(outputs["zero"].mean())},
        picture=draw(rnn, lstm, log_dir / "text.png"),
        data=data,
    )


if __name__ == "__main__":
    kik.lessons.main(run)
