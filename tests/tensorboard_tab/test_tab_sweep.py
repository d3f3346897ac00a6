"""A sweep in TensorBoard: HParams and the tab tell the same."""

import tab_readers

import keras_initkit as kik
from tests.recording.test_recording_hparams import session_groups


def test_hparams_and_the_tab_see_the_same_groups(tmp_path):
    sweep = kik.compare(
        "xor_mlp",
        "xor",
        ["he_normal", "lsuv"],
        grid={"learning_rate": [0.1, 0.01]},
        seeds=2,
        epochs=1,
        log_dir=tmp_path,
    )
    trained = {
        (run.initializer, run.point["learning_rate"], run.seed) for run in sweep.runs
    }
    with tab_readers.python_provider(tmp_path, samples=100) as provider:
        index = tab_readers.Tab(provider).json("/index")
        experiment, groups = session_groups(provider)
    in_tab = [
        (one["initializer"], one["learning_rate"], one["seed"])
        for one in (run["hparams"] for run in index["runs"])
    ]
    in_hparams = [
        (
            one.hparams["initializer"].string_value,
            one.hparams["learning_rate"].number_value,
            one.hparams["seed"].number_value,
        )
        for one in groups
    ]
    assert sorted(in_tab) == sorted(in_hparams) == sorted(trained)
    differs = {info.name for info in experiment.hparam_infos if info.differs}
    assert differs == {"initializer", "learning_rate", "seed"}
