"""Threads for calls of the system's resolver. Each call has a thread of its own, because it may take minutes if a name
server does not answer: names that hang delay neither other names nor the daemon's exit."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final


class ResolverThreads(ThreadPoolExecutor):
    """Starts a thread for each call. asyncio takes only subclasses of this for its own calls."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        """The result of the call, in the future. OSError if the machine has no free thread."""
        future: Future[Any] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    result = call(*args, **named)
                except Exception as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)

        try:
            threading.Thread(target=run, name="resolver", daemon=True).start()
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, str(error)) from error
        return future


RESOLVER_THREADS: Final = ResolverThreads()


def lend_to_loop() -> None:
    """Let the running event loop resolve names with these threads: its own ones are few (6 on 2 cores), and it waits
    for them when it ends."""
    with suppress(RuntimeError):  # it is not asyncio's loop
        asyncio.get_running_loop().set_default_executor(RESOLVER_THREADS)
