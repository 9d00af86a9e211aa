"""`test`: sends a sample to one endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

import anyio
import click

from bridge.cli.options import whole_number
from bridge.cli.session import CommandSession, command
from bridge.clock import SystemClock
from bridge.config.endpoint_settings import Webhook
from bridge.config.load import Loaded
from bridge.control.endpoint_sample import sample_picture, send_sample
from bridge.control.lookup import sampled_endpoint
from bridge.domain.delivery import Accepted, Outcome
from bridge.domain.event import Topic
from bridge.domain.quoting import printable
from bridge.domain.sample import MOST_RESULTS, sample_images
from bridge.redaction import hidden
from bridge.sinks.chat_services import ROBOTS
from bridge.wiring.plan_builder import PlanBuilder


@command("test")
@click.argument("endpoint")
@click.option(
    "--topic",
    type=click.Choice([topic.value for topic in Topic]),
    default=Topic.TASK_SUCCEEDED.value,
    show_default=True,
    metavar="TOPIC",
    help="The topic of the sample.",
)
@click.option(
    "--results",
    type=whole_number(1, MOST_RESULTS),
    default=1,
    show_default=True,
    metavar="N",
    help=f"The number of results, at most {MOST_RESULTS}. One result is a video; several are images.",
)
@click.option(
    "--attach",
    is_flag=True,
    help="Attach pictures, or ask for previews, regardless of the settings.",
)
def test_command(session: CommandSession, endpoint: str, topic: str, results: int, attach: bool) -> int:
    """Send a sample to an endpoint and show its answer.

    The sample is an event about a task that does not exist. Nothing is stored.

    Exit 0 when the sample was accepted, 1 when it was not.
    """
    return 0 if sample_sent(session, endpoint, Topic(topic), results, attach=attach) else 1


def sample_sent(
    session: CommandSession,
    endpoint: str,
    topic: Topic = Topic.TASK_SUCCEEDED,
    results: int = 1,
    *,
    attach: bool = False,
) -> bool:
    """Send a sample and print the answers; returns whether all targets accepted it."""
    sampled_endpoint(session.file, endpoint)
    loaded = session.working()
    if attach:
        loaded = _attaching(loaded, endpoint)
    files = {url: sample_picture(number) for number, url in enumerate(sample_images(results))} if attach else {}

    async def send() -> Sequence[tuple[str, Outcome]]:
        async with aclosing(PlanBuilder(SystemClock(), files=files)) as builder:
            sink, now = builder.endpoint(endpoint, loaded).sink, SystemClock().now()
            return await send_sample(sink, endpoint, now=now, topic=topic, results=results, has_images=attach)

    failed = False
    for target, outcome in anyio.run(send):
        accepted = isinstance(outcome, Accepted)
        failed = failed or not accepted
        detail = outcome.summary if isinstance(outcome, Accepted) else outcome.reason
        place = f"{endpoint}[{target}]" if target else endpoint
        click.echo(f"{place}: {'accepted' if accepted else 'FAILED'}: {printable(hidden(detail))}")
    return not failed


def _attaching(loaded: Loaded, name: str) -> Loaded:
    """The settings with attachments for this endpoint, or with previews if it accepts no files."""
    endpoint = loaded.settings.endpoints[name]
    if not endpoint.is_for_people:
        raise click.UsageError(f"{name} is a webhook for programs; --attach is for chats and robots")
    takes_files = not isinstance(endpoint, Webhook) or ROBOTS[endpoint.format].file_bytes > 0
    attach = "file" if takes_files else "preview"
    changed = {**loaded.settings.endpoints, name: endpoint.model_copy(update={"attach": attach})}
    return replace(loaded, settings=loaded.settings.model_copy(update={"endpoints": changed}))
