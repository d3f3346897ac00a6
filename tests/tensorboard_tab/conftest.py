import pytest
import tab_logs
import tab_readers

from keras_initkit_light.tab import plugin


@pytest.fixture(scope="session")
def log_dir(tmp_path_factory):
    """Runs of every kind, good and bad; `record` of each good one by its name."""
    return tab_logs.write_all(tmp_path_factory.mktemp("tab"))


@pytest.fixture(scope="session", params=tab_readers.READERS)
def reader(request):
    return tab_readers.READERS[request.param]


@pytest.fixture(scope="session")
def tab(log_dir, reader):
    """The tab over `log_dir`, under each reader."""
    with reader(log_dir, plugin.KEPT_CHUNKS) as provider:
        yield tab_readers.Tab(provider)
