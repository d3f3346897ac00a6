"""Standing in for an attribute of an object, for as long as a `with` lasts."""

import contextlib


@contextlib.contextmanager
def shadowed(instance, name, value):
    """Puts an attribute on an instance, past its `__setattr__`, and takes it off."""
    missing = object()
    before = instance.__dict__.get(name, missing)
    instance.__dict__[name] = value
    try:
        yield
    finally:
        if before is missing:
            instance.__dict__.pop(name, None)
        else:
            instance.__dict__[name] = before
