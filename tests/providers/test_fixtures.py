"""Every recorded answer of every provider is read as the manifest says."""

from __future__ import annotations

from typing import Any, Final

import pytest

from bridge.domain.task import Reading, ReadingKind
from bridge.providers.catalogue import BUILT_IN
from bridge.providers.new_tasks import created, created_by_any
from bridge.providers.reading import read_together
from bridge.providers.results import PollContext
from tests.providers.reading_of import answered, reading_of
from tests.providers.recorded import DATA, FIXTURES, action_of, id_of, provider_of, said

pytestmark = pytest.mark.usefixtures("unmeasured")

PLURALS: Final = {"video": "videos", "image": "images", "audio": "audios", "file": "files"}
OTHERS: Final = {"created", "outgoing", "vector", "challenge"}  # these answers have no status of a task
HOST: Final = "api.example.test"
SECOND: Final = {
    "minimax/success_needs_file.json": "minimax/file_retrieve.json",
    "fal/completed.json": "fal/result.json",
}


def _read(fixture: dict[str, Any]) -> Reading:
    body = (DATA / fixture["file"]).read_bytes()
    second = SECOND.get(fixture["file"])
    if fixture["file"] in SECOND.values():  # the second answer of a pair, which is read after the first
        first, second = next(pair for pair in SECOND.items() if pair[1] == fixture["file"])
        body = (DATA / first).read_bytes()
        fixture = {**fixture, "file": first}
    return reading_of(
        body,
        provider=provider_of(fixture),
        status=fixture["http_status"],
        task_id=id_of(fixture),
        action=action_of(fixture),
        own_host=HOST,
        second=None if second is None else (DATA / second).read_bytes(),
    )


READ: Final = [each for each in FIXTURES if each["outcome"] not in {*OTHERS, "batch"}]


@pytest.mark.parametrize("provider", sorted({provider_of(each) for each in READ}))
def test_each_recorded_answer_has_the_stated_outcome_results_message_and_progress(
    provider: str, subtests: pytest.Subtests
) -> None:
    for fixture in READ:
        if provider_of(fixture) == provider:
            with subtests.test(fixture["file"]):
                _check(fixture)


def _check(fixture: dict[str, Any]) -> None:
    reading = _read(fixture)

    assert reading.kind == fixture["outcome"], reading
    assert reading.server_trouble == (fixture["http_status"] >= 500)
    seen = reading.snapshot
    if "results" in fixture:
        assert seen is not None
        expected = [(PLURALS[each["kind"]], each["url"].format(BASE=f"https://{HOST}")) for each in fixture["results"]]
        collected = {(kind, item["url"]) for kind, items in seen.result.items() for item in items if "url" in item}
        assert collected == set(expected)
        assert list(seen.urls) == [url for _, url in expected]
        assert not seen.refused
    if "message" in fixture:
        assert fixture["message"] in reading.detail
        assert seen is None or seen.message == fixture["message"]
    if "progress" in fixture:
        assert seen is not None
        assert seen.progress == fixture["progress"]


def test_each_recorded_create_answer_gives_its_id(subtests: pytest.Subtests) -> None:
    for fixture in FIXTURES:
        if "task_id" in fixture:
            with subtests.test(fixture["file"]):
                found = created(BUILT_IN[provider_of(fixture)], said(fixture))

                assert found is not None
                assert found[0] == fixture["task_id"]
                assert created_by_any(BUILT_IN, said(fixture))[provider_of(fixture)] == found


FOUR: Final = dict(enumerate(("running", "succeeded", "failed", "not_found"), 1))
LISTS: Final = {
    "kling/list.json": ("kling", {f"85700000000000000{n}": kind for n, kind in FOUR.items()}),
    "kling_v2/batch_mixed.json": ("kling_v2", {f"91300000000000000{n}": kind for n, kind in FOUR.items()}),
    "kling_v2/cursor_page.json": ("kling_v2", {"913000000000000001": "succeeded"}),
    "suno/batch_mixed.json": ("suno", {f"346c0000-0000-4000-8000-00000000000{n}": kind for n, kind in FOUR.items()}),
    "suno/feed_v1.json": (
        "suno_feed",
        {"e9890000-0000-4000-8000-000000000000": "succeeded", "e9890001-0000-4000-8000-000000000000": "running"},
    ),
    "midjourney/list.json": (
        "midjourney",
        {"1762000000000001": "running", "1762000000000002": "succeeded", "1762000000000003": "not_found"},
    ),
    "luma/aggregator_batch.json": ("luma", {"1e000000-0000-4000-8000-000000000001": "running"}),
}


@pytest.mark.parametrize("file", LISTS)
def test_of_each_recorded_list_every_task_is_read_by_its_id(file: str) -> None:
    provider, outcomes = LISTS[file]
    asked = [PollContext(task_id=task_id, action=None, base_url=f"https://{HOST}") for task_id in reversed(outcomes)]

    readings = read_together(BUILT_IN[provider], answered((DATA / file).read_bytes()), asked)

    assert not isinstance(readings, Reading)
    assert {task_id: reading.kind for task_id, reading in readings.items()} == outcomes


def test_the_manifest_lists_exactly_the_recorded_answers() -> None:
    recorded = {str(path.relative_to(DATA)) for path in DATA.glob("*/*.json")}

    sent = {file for file in recorded if file.startswith("notify/")}  # the sinks decide what receivers get
    assert recorded - sent == {each["file"] for each in FIXTURES} - sent
    assert LISTS.keys() == {each["file"] for each in FIXTURES if each["outcome"] == "batch"}


def test_text_can_be_the_result() -> None:
    texts = {
        "suno/success_lyrics.json": "[Verse]\nla",
        "replicate/succeeded_text.json": "Once upon a time",
        "midjourney/success_describe.json": "1. cat --ar 5:4",
        "minimax_v2/context.json": "Wide shot.",
        "zhipu/success_chat.json": "A paper boat drifts on a pond.",
    }
    for file, text in texts.items():
        reading = _read(next(each for each in FIXTURES if each["file"] == file))
        assert reading.snapshot is not None
        assert reading.kind is ReadingKind.SUCCEEDED
        assert reading.snapshot.result["texts"][0]["text"] == text
