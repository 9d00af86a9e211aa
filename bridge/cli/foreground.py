"""Work in the foreground that a signal ends, and `--watch`, which shows the same lines again and again, in place."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

import anyio
import click

from bridge.clock import SystemClock
from bridge.errors import UsageError
from bridge.screen import Screen, can_move_cursor, screen_of

EVERY_S: Final = 1.0
ROWS_LEFT: Final = 1  # rows below the lines, so that the terminal does not scroll
# Uses a separate screen without a cursor, like `top`. At the end, the terminal shows its former screen again.
ENTER: Final = "\x1b[?1049h\x1b[?25l"
SHOW_CURSOR: Final = "\x1b[?25h"
LEAVE: Final = f"{SHOW_CURSOR}\x1b[?1049l"
HOME: Final = "\x1b[H"
CLEAR_LINE: Final = "\x1b[K"
CLEAR_REST: Final = "\x1b[J"


def until_terminated(play: Callable[[], Awaitable[None]]) -> None:
    """Run it until it ends. SIGTERM, Ctrl-C and the end of the terminal cancel it; after the clean-up,
    KeyboardInterrupt is raised. Further signals during the clean-up are ignored."""

    async def run() -> None:
        # The loop receives the signals: an exception raised by a signal handler can appear, or get lost, anywhere.
        ends = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        wanted = [each for each in ends if signal.getsignal(each) is not signal.SIG_IGN]
        with anyio.open_signal_receiver(*wanted) as signals:
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_on_signal, signals, group.cancel_scope)
                await play()
                group.cancel_scope.cancel()
                return
            raise KeyboardInterrupt

    anyio.run(run)


async def _cancel_on_signal(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()


@contextmanager
def cursor_after_sigterm() -> Iterator[None]:
    """In the block, SIGTERM ends the process as usual, but first shows the cursor on stderr again."""

    def end(number: int, _: FrameType | None) -> None:
        os.write(sys.stderr.fileno(), SHOW_CURSOR.encode())
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    before = signal.getsignal(signal.SIGTERM)
    if before is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def keep_showing(draw: Callable[[Screen], Sequence[str]]) -> None:
    """Show these lines once a second until Ctrl-C or SIGTERM; the last ones stay on the terminal. UsageError if the
    output cannot replace lines."""
    if not can_move_cursor(screen_of(sys.stdout)):
        raise UsageError("--watch needs a terminal; in scripts, repeat the command")
    last: Sequence[str] = ()

    async def show() -> None:
        nonlocal last
        while True:
            screen = screen_of(sys.stdout)
            last = draw(screen)
            room = screen.height - ROWS_LEFT
            fitting = [*last]
            if len(last) > room:
                fitting[room - 1 :] = [screen.painted(f"{len(last) - room + 1} more lines: enlarge the window", "dim")]
            click.echo(HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in fitting) + CLEAR_REST, nl=False)
            await SystemClock().sleep(EVERY_S)

    click.echo(ENTER, nl=False)
    try:
        with suppress(KeyboardInterrupt):
            until_terminated(show)
    finally:
        click.echo(LEAVE, nl=False)
    click.echo("\n".join(last))
