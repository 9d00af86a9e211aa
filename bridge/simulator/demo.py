"""What `genbridge demo` plays: its tasks, the files that bring them, the daemon's settings, and the summary."""

from __future__ import annotations

import base64
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from bridge.ports import Clock
from bridge.simulator.forms import FORMS
from bridge.simulator.forms.form import Form
from bridge.simulator.provider import SimulatedProvider
from bridge.simulator.receiver import PATH, Webhook
from bridge.simulator.tasks import Ending, Script

ACCOUNT: Final = "demo"
ENDPOINT: Final = "receiver"
SETTINGS_NAME: Final = "genbridge.yaml"
QUEUE_NAME: Final = "queue"
ACTIONS: Final[Mapping[str, Mapping[Ending, str]]] = {
    "kling": {
        Ending.VIDEOS: "videos/text2video",
        Ending.IMAGES: "images/generations",
        Ending.AUDIOS: "audio/text-to-audio",
    },
    "unified_v2": {Ending.VIDEOS: "videos", Ending.IMAGES: "images"},
    "suno": {Ending.AUDIOS: "MUSIC", Ending.TEXTS: "LYRICS"},
    "jimeng": {Ending.VIDEOS: "jimeng_vgfm_t2v_l20", Ending.IMAGES: "jimeng_high_aes_general_v21_L"},
}
"""The actions by which results of a kind are asked for, where a provider's paths need one."""
# Not secrets: both ends of each are in this process, on loopback, for half a minute.
PROVIDER_KEY: Final = "genbridge-demo-provider"
RECEIVER_KEY: Final = "genbridge-demo-receiver"
SIGNING_KEY: Final = "whsec_" + base64.b64encode(b"genbridge demo, signs nothing else").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoTask:
    """One task. It is born `born_s` after the demo's start (negative: before)."""

    task_id: str
    born_s: float
    script: Script
    action: str | None = None
    label: str | None = None

    def form(self) -> dict[str, Any]:
        """As a source's file has it."""
        task = {"id": self.task_id, "action": self.action, "label": self.label}
        return {key: value for key, value in task.items() if value is not None}

    def at(self, form: Form) -> DemoTask:
        """As it is at this provider: with an id, an action and an end that it has."""
        ending = self.script.ending
        if ending is Ending.FAILURE and not form.fails:
            ending = form.makes[0]
        ending = form.ending(ending)
        action = ACTIONS.get(form.name, {}).get(ending)
        script = replace(self.script, ending=ending)
        return replace(self, task_id=form.prefix + self.task_id, script=script, action=action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A file that appears in the queue folder `at_s` after the demo's start."""

    at_s: float
    name: str
    tasks: tuple[DemoTask, ...]

    def text(self) -> str:
        """The file, in the form its suffix names: .yaml, .txt or .json."""
        match Path(self.name).suffix:
            case ".yaml":
                return yaml.safe_dump({"tasks": [task.form() for task in self.tasks]}, sort_keys=False)
            case ".json":
                return orjson.dumps([task.form() for task in self.tasks], option=orjson.OPT_INDENT_2).decode()
            case _:
                return "".join(["# one id a line\n", *(f"{task.task_id}\n" for task in self.tasks)])

    def into(self, queue: Path) -> None:
        """Put it there as programs should: written under a name that the queue leaves alone, then renamed."""
        draft = queue / f".{self.name}"
        draft.write_text(self.text(), encoding="utf-8")
        draft.rename(queue / self.name)


def _task(task_id: str, ending: Ending, *, born_s: float, ends_s: float, label: str | None = None) -> DemoTask:
    script = Script(ending=ending, lasts_s=ends_s - born_s)
    return DemoTask(task_id=task_id, born_s=born_s, script=script, label=label)


_DROPS: Final = (
    Drop(
        at_s=0.0,
        name="campaign.yaml",
        tasks=(
            _task("four-posters", Ending.IMAGES, born_s=0.0, ends_s=5.0, label="Four posters"),
            _task("lighthouse-at-dawn", Ending.VIDEOS, born_s=0.0, ends_s=12.0, label="A lighthouse at dawn"),
        ),
    ),
    Drop(
        at_s=3.0,
        name="ids.txt",
        tasks=(
            _task("0857000000000000301", Ending.VIDEOS, born_s=-60.0, ends_s=-20.0),
            _task("dragon-in-the-rain", Ending.FAILURE, born_s=2.0, ends_s=9.0),
            _task("paper-boats", Ending.VIDEOS, born_s=2.0, ends_s=17.0),
        ),
    ),
    Drop(
        at_s=6.0,
        name="more.json",
        tasks=(
            _task("street-musician", Ending.AUDIOS, born_s=5.0, ends_s=14.0, label="A street musician"),
            _task("glass-teapot", Ending.IMAGES, born_s=5.0, ends_s=21.0),
            _task("night-train", Ending.VIDEOS, born_s=5.0, ends_s=25.0),
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """The demo at one provider, from its start to its last end, which comes after 25 s."""

    provider: str = "kling"

    @property
    def drops(self) -> tuple[Drop, ...]:
        form = FORMS[self.provider]
        return tuple(replace(drop, tasks=tuple(task.at(form) for task in drop.tasks)) for drop in _DROPS)

    @property
    def tasks(self) -> tuple[DemoTask, ...]:
        return tuple(task for drop in self.drops for task in drop.tasks)

    def prepare(self, folder: Path, *, provider_url: str, receiver_url: str) -> Path:
        """Make the queue folder and the daemon's settings in `folder`, an empty one; the path of the settings."""
        (folder / QUEUE_NAME).mkdir()
        settings = folder / SETTINGS_NAME
        settings.touch(mode=0o600)  # it holds keys: readable by others, it would earn a warning
        settings.write_text(self.settings(provider_url=provider_url, receiver_url=receiver_url), encoding="utf-8")
        return settings

    def settings(self, *, provider_url: str, receiver_url: str) -> str:
        """The daemon's settings as YAML. URLs are the two servers' own, `http://host:port`; paths are relative."""
        account = {"provider": self.provider, "base_url": provider_url, "api_key": PROVIDER_KEY}
        actions = ACTIONS.get(self.provider, {})
        if actions:
            account["action"] = next(iter(actions.values()))  # for the bare ids of the .txt file
        settings = {
            "store": "state.db",
            "accounts": {ACCOUNT: account},
            "sources": {"queue": f"{QUEUE_NAME}/"},
            "endpoints": {
                ENDPOINT: {
                    "type": "webhook",
                    "url": receiver_url + PATH,
                    "api_key": RECEIVER_KEY,
                    "secret": SIGNING_KEY,
                }
            },
            "polling": {"min_interval": "1s"},
            "log": {"level": "warning"},
        }
        return yaml.safe_dump(settings, sort_keys=False)

    def play(self, provider: SimulatedProvider, *, started_at: float) -> None:
        """Give the provider its tasks; `started_at` is the demo's start on its clock."""
        for task in self.tasks:
            born_at = started_at + task.born_s
            provider.plan(task.task_id, task.script, action=task.action or "", born_at=born_at)

    async def feed(self, queue: Path, *, clock: Clock, started_at: float, on_drop: Callable[[Drop], None]) -> None:
        """Drop each file into `queue` at its time and return after the last; `on_drop` hears of each."""
        for drop in self.drops:
            await clock.sleep(max(0.0, started_at + drop.at_s - clock.steady()))
            drop.into(queue)
            on_drop(drop)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of one task. `after_s` runs from its end at the provider, or from the moment its file was dropped
    when it was over by then, to the arrival of its webhook."""

    task_id: str
    topic: str | None = None
    polls: int
    after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The demo in figures."""

    rows: tuple[Told, ...]
    ended: int
    repeats: int
    requests: int

    @classmethod
    def of(
        cls,
        plan: DemoPlan,
        provider: SimulatedProvider,
        *,
        webhooks: Collection[Webhook],
        repeats: int,
        started_at: float,
    ) -> Summary:
        """Of what provider and receiver know by now."""
        ended_at = provider.ended_at
        arrived = {webhook.task_id: webhook for webhook in webhooks}
        rows = tuple(
            _told(
                task,
                from_at=max(started_at + drop.at_s, ended_at.get(task.task_id, 0.0)),
                polls=provider.polls,
                arrived=arrived,
            )
            for drop in plan.drops
            for task in drop.tasks
        )
        ended = sum(row.task_id in ended_at for row in rows)
        return cls(rows=rows, ended=ended, repeats=repeats, requests=provider.requests)

    @property
    def told(self) -> int:
        return sum(row.topic is not None for row in self.rows)

    @property
    def is_complete(self) -> bool:
        """Every task has been told."""
        return self.told == len(self.rows)

    def text(self) -> str:
        """For people: a line for each task, then the figures."""
        width = max(len(row.task_id) for row in self.rows)
        return "\n".join(
            (
                f"{'task':<{width}}  {'told':<16}  polls  after",
                *(
                    f"{row.task_id:<{width}}  {row.topic or 'not told':<16}  {row.polls:>5}  {_seconds(row.after_s):>5}"
                    for row in self.rows
                ),
                "",
                f"{len(self.rows)} tasks: {self.ended} ended, {self.told} told, {self.repeats} webhooks came twice",
                f"polls per task: {_spread([row.polls for row in self.rows], '{:.0f}')}, in {self.requests} requests",
                "from the end at the provider (or the file, if later) to the webhook: "
                + _spread([row.after_s for row in self.rows if row.after_s is not None], "{:.1f} s"),
            )
        )


def _told(task: DemoTask, *, from_at: float, polls: Mapping[str, int], arrived: Mapping[str, Webhook]) -> Told:
    webhook = arrived.get(task.task_id)
    if webhook is None:
        return Told(task_id=task.task_id, polls=polls.get(task.task_id, 0))
    return Told(
        task_id=task.task_id,
        topic=webhook.topic,
        polls=polls.get(task.task_id, 0),
        after_s=webhook.arrived_at - from_at,
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _spread(values: Sequence[float], form: str) -> str:
    if not values:
        return "none"
    return f"median {form.format(statistics.median(values))}, most {form.format(max(values))}"
