"""A trained run and broken ones, a real TensorBoard over them, a headless Chromium."""

import shutil

import keras
import numpy as np
import pytest
import tab_logs as logs
import tab_page

import keras_initkit as kik
from keras_initkit import schema
from keras_initkit.recording.log import events


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install playwright"
    )
    executable = next(filter(None, map(shutil.which, tab_page.BROWSERS)), None)
    if executable is None:
        pytest.skip(f"needs a Chromium on the PATH, one of {tab_page.BROWSERS}")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def trained(tmp_path_factory, browser):
    """A directory with a trained run, and what theory told of the model ahead of it."""
    root = tmp_path_factory.mktemp("browser")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 6)).astype("float32")
    y = rng.integers(0, 3, 96)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.layers.Input((6,)),
            keras.layers.Dense(8, "relu", name="first"),
            keras.layers.Dense(8, "relu", name="second"),
            keras.layers.Dense(3, name="logits"),
        ],
        name="sequential",
    )
    first = x[:8].astype(np.float64)
    told = kik.theory.predict(model, (first.mean(), (first**2).mean()))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    monitor = kik.SignalMonitor(root / "trained", every=2)
    options = {"shuffle": False, "verbose": 0, "callbacks": [monitor]}
    model.fit(x, y, batch_size=8, epochs=2, **options)
    return root, told


@pytest.fixture(scope="session")
def log_dir(trained):
    """The trained run, and written ones: groups, findings, time, hostile names."""
    root, _ = trained
    logs.write_all(root)
    shutil.rmtree(root / "newer")
    hostile = (root / logs.HOSTILE_RUN) / "second"
    run = logs.Run(hostile)
    for step in (0, 10):
        run.step(step, tuple(schema.TensorKey(name, "output") for name in logs.HOSTILE))
    run.close()
    broken = logs.finding(
        rule="<i>Rule</i>",
        severity="error",
        layer=logs.HOSTILE[0],
        step=10,
        message=f"{logs.HOSTILE[0]} & co",
        reference="javascript:alert(1) https://example.org/?a='\"><script>",
    )
    logs.write_events(
        hostile, (10, [events.text(schema.FINDINGS_TAG, {"findings": [broken]})])
    )
    return root


@pytest.fixture(scope="session")
def record(log_dir):
    """What the run recorded, read back apart from the tab."""
    found = kik.RunRecord.load(log_dir / "trained")
    assert found.signal("activation").steps.tolist() == list(range(0, 24, 2))
    return found


@pytest.fixture(scope="session")
def server(log_dir):
    with tab_page.tensorboard(log_dir, "--path_prefix", "/a/prefix") as address:
        yield address


@pytest.fixture(scope="module")
def shared(browser):
    page = tab_page.Page(browser)
    yield page
    page.context.close()


@pytest.fixture
def page(shared):
    """The page, checked afterwards for errors and violations of the policy.

    It leaves its TensorBoard, which may end then: what it asked for would fail.
    """
    yield shared
    shared.check()
    shared.page.goto("about:blank")


@pytest.fixture
def unpolled(browser):
    """A page whose tab asks for news only when TensorBoard says so."""
    page = tab_page.Page(browser)
    page.page.add_init_script(
        "const every = setInterval;"
        "window.setInterval = (f, ms) => (ms === 5_000 ? 0 : every(f, ms));"
    )
    yield page
    page.context.close()
