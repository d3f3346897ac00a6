"""The tab over both of TensorBoard's readers, in this process."""

import argparse
import contextlib
import json
import time

import numpy as np
import werkzeug.test
from tensorboard import context
from tensorboard.backend import application
from tensorboard.backend.event_processing import data_provider as local_provider
from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.data import server_ingester
from tensorboard.util import grpc_util

from keras_initkit import schema
from keras_initkit_light.tab import plugin

ROOT = "/data/plugin/initkit"


@contextlib.contextmanager
def rust_provider(log_dir, samples):
    binary = server_ingester.get_server_binary()
    ingester = server_ingester.SubprocessServerDataIngester(
        binary,
        str(log_dir),
        reload_interval=0,
        channel_creds_type=grpc_util.ChannelCredsType.LOCAL,
        samples_per_plugin={schema.PLUGIN_NAME: samples},
    )
    ingester.start()
    try:
        wait_until_loaded(ingester.data_provider)
        yield ingester.data_provider
    finally:
        ingester._stdin_handle.close()  # the server ends with its standard input


def wait_until_loaded(provider):
    """The server reads in the background: waits until its listing stands still."""
    seen, since = None, 0
    while since < 4:
        time.sleep(0.05)
        listing = provider.list_tensors(
            context.RequestContext(), experiment_id="", plugin_name=schema.PLUGIN_NAME
        )
        seen, before = repr(listing), seen
        since = since + 1 if seen == before else 0


@contextlib.contextmanager
def python_provider(log_dir, samples):
    multiplexer = plugin_event_multiplexer.EventMultiplexer(
        tensor_size_guidance={schema.PLUGIN_NAME: samples}
    )
    multiplexer.AddRunsFromDirectory(str(log_dir))
    multiplexer.Reload()
    yield local_provider.MultiplexerDataProvider(multiplexer, str(log_dir))


READERS = {"rust": rust_provider, "python": python_provider}


class Tab:
    """The plugin behind a WSGI client, as TensorBoard serves it."""

    def __init__(self, provider, path_prefix=""):
        flags = argparse.Namespace(
            logdir="",
            samples_per_plugin={},
            window_title="",
            path_prefix=path_prefix,
        )
        loader = plugin.InitKitLoader()
        loader.fix_flags(flags)  # as TensorBoard does
        app = application.TensorBoardWSGIApp(flags, [loader], data_provider=provider)
        self.client = werkzeug.test.Client(app)
        self._prefix = path_prefix

    def get(self, path, **query):
        return self.client.get(self._prefix + ROOT + path, query_string=query)

    def json(self, path, **query):
        response = self.get(path, **query)
        assert response.status_code == 200, response.get_data(as_text=True)
        return json.loads(response.get_data())

    def values(self, path, **query):
        """Returns `{run: [(names, steps, values)]}` of a binary reply."""
        response = self.get(path, **query)
        assert response.status_code == 200, response.get_data(as_text=True)
        return decode(response.get_data())


def decode(body):
    length = int.from_bytes(body[:4], "little")
    header = json.loads(body[4 : 4 + length])
    numbers = np.frombuffer(body, "<f4", offset=4 + length)
    found = {}
    for run in header["runs"]:
        parts = []
        for part in run["parts"]:
            names = header["tables"][part["names"]]
            size = len(names) * len(part["steps"])
            values = numbers[part["offset"] : part["offset"] + size]
            parts.append((names, part["steps"], values.reshape(-1, len(names))))
        found[run["run"]] = parts
    return found
