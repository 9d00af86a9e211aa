"""`--watch`: shows the same lines again and again, in place."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
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
LEAVE: Final = "\x1b[?25h\x1b[?1049l"
HOME: Final = "\x1b[H"
CLEAR_LINE: Final = "\x1b[K"
CLEAR_REST: Final = "\x1b[J"

Draw = Callable[[Screen], Sequence[str]]


def keep_showing(draw: Draw) -> None:
    """Show these lines once a second until Ctrl-C or SIGTERM; the last ones stay on the terminal. UsageError if the
    output cannot replace lines."""
    if not can_move_cursor(screen_of(sys.stdout)):
        raise UsageError("--watch needs a terminal; in scripts, repeat the command")
    last: Sequence[str] = ()

    def shown(screen: Screen) -> Sequence[str]:
        nonlocal last
        last = draw(screen)
        return last

    click.echo(ENTER, nl=False)
    try:
        anyio.run(_show, shown)
    finally:
        click.echo(LEAVE, nl=False)
    click.echo("\n".join(last))


async def _show(draw: Draw) -> None:
    clock = SystemClock()
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as group:
            group.start_soon(_stop_at_signal, signals, group.cancel_scope)
            while True:
                screen = screen_of(sys.stdout)
                lines = draw(screen)[: screen.height - ROWS_LEFT]
                click.echo(HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in lines) + CLEAR_REST, nl=False)
                await clock.sleep(EVERY_S)


async def _stop_at_signal(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()
