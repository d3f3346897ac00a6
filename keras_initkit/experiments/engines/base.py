"""What an engine does."""

import concurrent.futures
from collections.abc import Callable
from typing import Any, Protocol

Future = concurrent.futures.Future[Any]


class Engine(Protocol):
    """Computes functions in other processes.

    Attributes:
        size: How many it computes at once.
        watched: Whether its processes are children of this one, and end with it.
    """

    size: int
    watched: bool

    def share(self, value: Any) -> Any:
        """Sends a large value to all processes, and returns what stands for it.

        Given to `submit` as an argument, that arrives as the value, or as a function
        that gives it.
        """

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Has a function computed."""

    def has_died(self, error: BaseException) -> bool:
        """Whether an error says that the process died that computed a function."""

    def stop(self, flying: list[Future]) -> None:
        """Ends what is being computed, without waiting for it."""

    def close(self) -> None:
        """Gives back what `share` took."""
