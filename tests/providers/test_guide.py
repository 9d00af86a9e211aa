"""The examples in docs/writing-a-provider.md work as the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import yaml

from bridge.providers import calls as routes
from bridge.providers.answer_form import Codes, Form, OwnFiles, Results
from bridge.providers.auth import shown
from bridge.providers.catalogue import BUILT_IN, effective, load_descriptions
from bridge.providers.description import Created, DefaultLimits, Description, Life
from bridge.providers.new_tasks import created
from bridge.providers.reading import read
from bridge.providers.results import PollContext
from bridge.providers.task_requests import task_request
from tests.providers.reading_of import answered

GUIDE: Final = (Path(__file__).parents[2] / "docs/writing-a-provider.md").read_text()
FENCED: Final = re.findall(r"```(\w+) ?([^\n]*)\n(.*?)```", GUIDE, re.DOTALL)
TREES: Final[dict[str, Any]] = {
    name: tree
    for kind, _, text in FENCED
    if kind == "yaml"
    for name, tree in yaml.safe_load(text).get("providers", {}).items()
}
OWN: Final = {
    "my-suno",
    "pixverse",
    "ppt",
    "suno-upload",
    "higgsfield",
    "vertex-veo",
    "pika",
    "comfy-cloud",
    "ark-plan",
}
ANSWERS: Final = [(*info.split(), text) for kind, info, text in FENCED if kind == "json"]


def test_the_examples_are_descriptions() -> None:
    assert set(load_descriptions(TREES)) == {*BUILT_IN, *OWN}


@pytest.mark.parametrize(("provider", "kind", "text"), ANSWERS)
def test_each_answer_of_the_guide_is_read_as_it_says(provider: str, kind: str, text: str) -> None:
    description = load_descriptions(TREES)[provider]
    task_id = re.search(r'"(?:id|task_id|request_id|name)": "?([^",}]+)', text)
    assert task_id is not None
    asked = PollContext(task_id=task_id[1], action=None, base_url="https://api.example.com")

    reading = read(description, answered(text.encode()), asked)

    assert reading.kind == kind, reading
    assert reading.snapshot is not None
    assert bool(reading.snapshot.urls) == (kind == "succeeded")


def test_the_new_provider_of_the_guide_is_polled_as_described() -> None:
    pixverse = load_descriptions(TREES)["pixverse"]
    base_url = "https://app-api.pixverse.ai"

    url = task_request(pixverse, base_url=base_url, task_id="318633193768896", action=None).url

    assert url in GUIDE
    assert shown(pixverse.ask.auth, "k") == ({"API-KEY": "k"}, None)
    assert created(pixverse, orjson.loads('{"ErrCode":0,"Resp":{"video_id":3186}}')) == ("3186", None)


def test_the_guides_comfy_cloud_is_asked_for_a_job_with_its_key() -> None:
    cloud = load_descriptions(TREES)["comfy-cloud"]
    base_url = "https://cloud.comfy.org"

    url = task_request(cloud, base_url=base_url, task_id="p-1", action=None).url

    assert url == f"{base_url}/api/jobs/p-1"
    assert shown(cloud.ask.auth, "k") == ({"X-API-Key": "k"}, None)
    assert cloud.ask.discover is not None
    assert cloud.ask.discover.query == {"limit": "64"}


@pytest.mark.parametrize(
    "model",
    [
        *(Description, Form, Results, OwnFiles, Codes, Created, Life, DefaultLimits),
        *(
            routes.TaskCall,
            routes.BatchCall,
            routes.SecondCall,
            routes.ListCall,
            routes.Action,
            routes.KeyPair,
            routes.KeyPlace,
        ),
    ],
    ids=lambda model: model.__name__,
)
def test_every_key_of_the_language_is_in_the_guide(model: type[routes.DescriptionModel]) -> None:
    missing = [name for name in model.model_fields if f"`{name}`" not in GUIDE and f"`{name}:" not in GUIDE]

    assert [name for name in missing if name != "name"] == []


def _as_text(tree: Any) -> Any:
    """The tree as settings give it: every scalar is the text that was written."""
    if isinstance(tree, dict):
        return {key: _as_text(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_as_text(value) for value in tree]
    return tree if tree is None else str(tree)


def test_numbers_may_be_written_as_text_and_text_as_numbers() -> None:
    written = {**TREES, "kling-again": {**effective(BUILT_IN["kling"]), "title": 5}}
    loaded = load_descriptions(_as_text(written))

    pixverse, kling = loaded["pixverse"].codes, loaded["kling-again"].codes
    assert pixverse is not None
    assert kling is not None
    assert pixverse.is_good(0)
    assert (kling.kind(1102, is_2xx=True), kling.kind("1102", is_2xx=True)) == ("account_error", "account_error")
    assert loaded["pixverse"].forms["video"].meaning["5"] == "running"
    assert load_descriptions({"own": {"extends": "suno", "title": 5}})["own"].title == "5"


def test_a_task_of_the_agent_plan_is_polled_at_its_own_path() -> None:
    url = task_request(
        load_descriptions(TREES)["ark-plan"], base_url="https://ark.cn-beijing.volces.com", task_id="cgt-1", action=None
    ).url
    assert url == "https://ark.cn-beijing.volces.com/api/plan/v3/contents/generations/tasks/cgt-1"
