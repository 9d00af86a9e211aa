"""What `demo` and `simulate` share: the option `--provider`, and a run that ends on a signal."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import anyio
import click

from bridge.simulator.vendor import vendor_names

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def provider_option(help_text: str) -> Callable[[F], F]:
    """`--provider`, with the providers that can be simulated."""
    return click.option(
        "--provider",
        default="kling",
        show_default=True,
        metavar="NAME",
        type=click.Choice(vendor_names()),
        help=help_text,
    )


def until_terminated(play: Callable[[], Awaitable[T]]) -> T:
    """Run it until it ends. SIGTERM and Ctrl-C cancel it; after the clean-up, KeyboardInterrupt is raised. Further
    signals during the clean-up are ignored."""

    async def run() -> T:
        # The loop receives the signals: an exception raised by a signal handler can appear, or get lost, anywhere.
        wanted = [each for each in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(each) is not signal.SIG_IGN]
        with anyio.open_signal_receiver(*wanted) as signals:
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_on_signal, signals, group.cancel_scope)
                played = await play()
                group.cancel_scope.cancel()
                return played
            raise KeyboardInterrupt

    return anyio.run(run)


async def _cancel_on_signal(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()
