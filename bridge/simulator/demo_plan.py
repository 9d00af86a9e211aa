"""The plan of `genbridge demo`: its tasks, the queue files that add them, and the daemon's settings."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from bridge.ports import Clock
from bridge.simulator.simulated_provider import SimulatedProvider
from bridge.simulator.simulated_task import Script, SimulatedResult
from bridge.simulator.vendor import Vendor, load_vendor
from bridge.simulator.webhook_receiver import PATH, ReceiverOutage

ACCOUNT: Final = "demo"
ENDPOINT: Final = "receiver"
SETTINGS_NAME: Final = "genbridge.yaml"
QUEUE_NAME: Final = "queue"
# Not secrets: both ends of each are in this process, on loopback, for half a minute.
PROVIDER_KEY: Final = "genbridge-demo-provider"
RECEIVER_KEY: Final = "genbridge-demo-receiver"
SIGNING_KEY: Final = "whsec_" + base64.b64encode(b"genbridge demo, signs nothing else").decode()
OUTAGE: Final = ReceiverOutage(after=3, lasts_s=1.5)  # the outage ends before the first retry


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoTask:
    """One task. It is created `created_s` after the start of the demo (negative: before)."""

    task_id: str
    created_s: float
    script: Script
    action: str | None = None
    label: str | None = None

    def entry(self) -> dict[str, Any]:
        """The task as an entry of a queue file."""
        task = {"id": self.task_id, "action": self.action, "label": self.label}
        return {key: value for key, value in task.items() if value is not None}

    def at(self, vendor: Vendor) -> DemoTask:
        """The task at this vendor, with an id, an action and a result that the vendor supports."""
        result = vendor.result_for(self.script.result)
        if result is SimulatedResult.FAILURE and not vendor.answers.can_fail:
            result = vendor.results[0]
        script = replace(self.script, result=result)
        action = vendor.demo_actions.get(result)
        return replace(self, task_id=vendor.id_prefix + self.task_id, script=script, action=action)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFile:
    """A file that appears in the queue folder `at_s` after the start of the demo."""

    at_s: float
    name: str
    tasks: tuple[DemoTask, ...]

    def text(self) -> str:
        """The content, in the syntax that the suffix names: .yaml, .txt or .json."""
        match Path(self.name).suffix:
            case ".yaml":
                return yaml.safe_dump({"tasks": [task.entry() for task in self.tasks]}, sort_keys=False)
            case ".json":
                return orjson.dumps([task.entry() for task in self.tasks], option=orjson.OPT_INDENT_2).decode()
            case _:
                return "".join(["# one id per line\n", *(f"{task.task_id}\n" for task in self.tasks)])

    def write(self, queue: Path) -> None:
        """Add it to the queue folder as programs should: under a name that the queue ignores, then renamed."""
        draft = queue / f".{self.name}"
        draft.write_text(self.text(), encoding="utf-8")
        draft.rename(queue / self.name)


def _task(
    task_id: str, result: SimulatedResult, *, created_s: float, finished_s: float, label: str | None = None
) -> DemoTask:
    script = Script(result=result, lasts_s=finished_s - created_s)
    return DemoTask(task_id=task_id, created_s=created_s, script=script, label=label)


_FILES: Final = (
    DemoFile(
        at_s=0.0,
        name="campaign.yaml",
        tasks=(
            _task("four-posters", SimulatedResult.IMAGES, created_s=0.0, finished_s=5.0, label="Four posters"),
            _task(
                "lighthouse-at-dawn",
                SimulatedResult.VIDEOS,
                created_s=0.0,
                finished_s=12.0,
                label="A lighthouse at dawn",
            ),
        ),
    ),
    DemoFile(
        at_s=3.0,
        name="ids.txt",
        tasks=(
            _task("0857000000000000301", SimulatedResult.VIDEOS, created_s=-60.0, finished_s=-20.0),
            _task("dragon-in-the-rain", SimulatedResult.FAILURE, created_s=2.0, finished_s=9.0),
            _task("paper-boats", SimulatedResult.VIDEOS, created_s=2.0, finished_s=17.0),
        ),
    ),
    DemoFile(
        at_s=6.0,
        name="more.json",
        tasks=(
            _task("street-musician", SimulatedResult.AUDIOS, created_s=5.0, finished_s=14.0, label="A street musician"),
            _task("glass-teapot", SimulatedResult.IMAGES, created_s=5.0, finished_s=21.0, label="A glass teapot"),
            _task("night-train", SimulatedResult.VIDEOS, created_s=5.0, finished_s=25.0, label="The night train"),
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """The demo of one vendor. Its last task finishes after 25 s."""

    provider: str = "kling"

    @property
    def files(self) -> tuple[DemoFile, ...]:
        vendor = load_vendor(self.provider)
        return tuple(replace(file, tasks=tuple(task.at(vendor) for task in file.tasks)) for file in _FILES)

    @property
    def tasks(self) -> tuple[DemoTask, ...]:
        return tuple(task for file in self.files for task in file.tasks)

    def prepare(self, folder: Path, *, provider_url: str, receiver_url: str) -> Path:
        """Create the queue folder and the daemon's settings in an empty folder. Returns the path of the settings."""
        (folder / QUEUE_NAME).mkdir()
        settings = folder / SETTINGS_NAME
        settings.touch(mode=0o600)  # it holds keys: if others could read it, genbridge would warn
        settings.write_text(self.settings(provider_url=provider_url, receiver_url=receiver_url), encoding="utf-8")
        return settings

    def settings(self, *, provider_url: str, receiver_url: str) -> str:
        """The daemon's settings as YAML, with the URLs of the two servers (`http://host:port`) and relative paths."""
        account = {"provider": self.provider, "base_url": provider_url, "api_key": PROVIDER_KEY}
        actions = load_vendor(self.provider).demo_actions
        if actions:
            account["action"] = next(iter(actions.values()))  # for the ids of the .txt file
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
            "delivery": {"retries": ["2s", "5s", "10s"]},  # so that the demo shows a retry
            "log": {"level": "warning"},
            "http": {"listen": "127.0.0.1:0", "previews": [provider_url]},  # the results are on the provider's host
        }
        return yaml.safe_dump(settings, sort_keys=False)

    def play(self, provider: SimulatedProvider, *, started_at: float) -> None:
        """Give the provider its tasks. `started_at` is the start of the demo on the provider's clock."""
        for task in self.tasks:
            created_at = started_at + task.created_s
            provider.plan(task.task_id, task.script, action=task.action or "", created_at=created_at)

    async def add_files(
        self, queue: Path, *, clock: Clock, started_at: float, on_file: Callable[[DemoFile], None]
    ) -> None:
        """Write each file to `queue` at its time and return after the last. `on_file` is called for each."""
        for file in self.files:
            await clock.sleep(max(0.0, started_at + file.at_s - clock.steady()))
            file.write(queue)
            on_file(file)
