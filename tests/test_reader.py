"""Tasks read against settings with every provider, built-in or of the settings' own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config import load
from bridge.config.kinds import PROVIDERS
from bridge.config.load import Loaded
from bridge.errors import ConfigError
from bridge.providers import descriptions
from bridge.reader import catalogue, task_created, task_reader
from bridge.sources.tasks import TaskProblem

BASE = "https://api.example.com"
ACCOUNTS = f"""
accounts:
  kling: {{provider: kling, base_url: "{BASE}", api_key: k12345, action: videos/text2video}}
  music: {{provider: suno, base_url: "{BASE}", api_key: k12345}}
"""


def loaded(folder: Path, text: str) -> Loaded:
    path = folder / "genbridge.yaml"
    path.write_text(text)
    path.chmod(0o600)
    return load.load(path, {})


def test_the_settings_know_every_built_in_provider_by_name() -> None:
    assert set(PROVIDERS) == set(descriptions())


def test_every_mistake_of_an_own_description_is_named_at_its_place(tmp_path: Path) -> None:
    text = "providers:\n  mine:\n    extends: sunno\n  other:\n    extends: suno\n    titel: x\n" + ACCOUNTS.lstrip()
    with pytest.raises(ConfigError) as refused:
        catalogue(loaded(tmp_path, text))
    places = [line.removeprefix(f"{tmp_path}/").split(": ")[:2] for line in refused.value.problems]
    assert places == [
        ["genbridge.yaml:3:14", "providers.mine.extends"],
        ["genbridge.yaml:6:12", "providers.other.titel"],
    ]
    assert 'did you mean "suno"?' in refused.value.problems[0]
    assert 'did you mean "title"?' in refused.value.problems[1]


def test_an_action_the_provider_cannot_take_is_named_at_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"genbridge.yaml:3:\d+: accounts.kling.action: .*videos/text2video"):
        catalogue(loaded(tmp_path, ACCOUNTS.replace("videos/text2video", "text2video")))


def test_a_query_url_names_account_and_action_of_any_provider(tmp_path: Path) -> None:
    reader = task_reader(loaded(tmp_path, ACCOUNTS))
    music = reader.read(f"{BASE}/suno/fetch/a%2Fb")
    assert (music.account, music.task_id) == ("music", "a/b")
    film = reader.read(f"{BASE}/kling/v1/videos/avatar/image2video/42")
    assert (film.account, film.action, film.task_id) == ("kling", "videos/avatar/image2video", "42")


def test_a_query_url_of_several_keys_at_one_address_is_of_the_account_that_is_named(tmp_path: Path) -> None:
    second = f'  second: {{provider: suno, base_url: "{BASE}", api_key: k12345}}\n'
    reader = task_reader(loaded(tmp_path, ACCOUNTS + second))
    assert reader.read({"id": f"{BASE}/suno/fetch/1", "account": "second"}).account == "second"
    assert reader.read({"id": f"{BASE}/suno/fetch/1", "account": "music"}).account == "music"
    with pytest.raises(TaskProblem, match=r"several accounts \(music, second\)"):
        reader.read(f"{BASE}/suno/fetch/1")
    with pytest.raises(TaskProblem, match='the URL is one of "music"'):
        reader.read({"id": f"{BASE}/suno/fetch/1", "account": "kling"})


def test_a_create_calls_answer_names_the_task(tmp_path: Path) -> None:
    settings = loaded(tmp_path, ACCOUNTS)
    answer = {"code": 0, "message": "SUCCEED", "request_id": "r", "data": {"task_id": "42", "task_status": "submitted"}}
    assert task_created(settings, answer, account=None) == {"id": "42", "account": "kling"}
    song = {"code": "success", "message": "", "data": "song-1"}
    assert task_created(settings, song, account="music") == {"id": "song-1", "account": "music"}
    assert task_created(settings, {"id": "a", "label": "b"}, account=None) is None
    assert task_created(settings, {"detail": "no"}, account=None) is None


UUID = "17f20503-6c24-4c16-946b-35dbbce2af2f"


@pytest.mark.parametrize(("answer", "account"), [({"id": UUID}, "film"), ({"id": "cgt-2025-x"}, "seed")])
def test_a_create_answer_that_is_a_bare_id_is_of_the_only_account_that_it_fits(
    tmp_path: Path, answer: dict[str, str], account: str
) -> None:
    film = f'  film: {{provider: runway, base_url: "{BASE}", api_key: k12345}}\n'
    seed = f'  seed: {{provider: ark, base_url: "{BASE}", api_key: k12345}}\n'
    settings = loaded(tmp_path, ACCOUNTS + film + seed)
    assert task_created(settings, answer, account=None) == {**answer, "account": account}
    assert task_created(settings, answer, account="music") is None
    twins = loaded(tmp_path, ACCOUNTS + film + film.replace("film:", "other:") + seed + seed.replace("seed:", "seed2:"))
    with pytest.raises(TaskProblem, match=rf"several accounts \({account}, \w+\): choose with --account"):
        task_created(twins, answer, account=None)


@pytest.mark.parametrize("task_id", ["42", f"{BASE}/suno/1234567890"])
def test_a_bare_id_that_is_nobodys_create_answer_is_a_task(tmp_path: Path, task_id: str) -> None:
    film = f'  film: {{provider: runway, base_url: "{BASE}", api_key: k12345}}\n'
    assert task_created(loaded(tmp_path, ACCOUNTS + film), {"id": task_id}, account=None) is None


@pytest.mark.parametrize("url", ["/kling/tasks?task_ids=91,92", "/kling/tasks?task_ids=91%2C92"])
def test_a_query_url_about_several_tasks_is_not_taken_for_one(tmp_path: Path, url: str) -> None:
    settings = loaded(tmp_path, f'accounts: {{new: {{provider: kling_v2, base_url: "{BASE}", api_key: k12345}}}}')
    with pytest.raises(TaskProblem, match="the URL asks about 2 tasks: give their ids one by one"):
        task_reader(settings).read(f"{BASE}{url}")
    assert task_reader(settings).read(f"{BASE}/kling/tasks?task_ids=91").task_id == "91"


def test_answers_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        ACCOUNTS
        + f'  new: {{provider: kling_v2, base_url: "{BASE}", api_key: k12345}}\n'
        + f'  uni: {{provider: unified_v2, base_url: "{BASE}", api_key: k12345}}\n'
        + f'  vidu: {{provider: vidu, base_url: "{BASE}", api_key: k12345}}\n',
    )
    assert task_created(settings, {"task_id": "v", "state": "created"}, account=None) == {"id": "v", "account": "vidu"}
    dto = {"code": "success", "data": {"id": 4242, "task_id": "task_1", "status": "SUBMITTED"}}
    with pytest.raises(TaskProblem, match="neither a task"):
        task_created(settings, dto, account=None)


def test_an_answer_that_may_be_of_several_accounts_wants_one_chosen(tmp_path: Path) -> None:
    settings = loaded(tmp_path, ACCOUNTS + f'  second: {{provider: suno, base_url: "{BASE}", api_key: k12345}}\n')
    song = {"code": "success", "message": "", "data": "song-1"}
    with pytest.raises(TaskProblem, match="choose with --account"):
        task_created(settings, song, account=None)
    assert task_created(settings, song, account="second") == {"id": "song-1", "account": "second"}


def test_a_description_of_ones_own_under_a_built_ins_name_stands_in_its_place(tmp_path: Path) -> None:
    text = "providers:\n  suno:\n    extends: suno\n    title: Ours\n" + ACCOUNTS.lstrip()
    assert catalogue(loaded(tmp_path, text))["suno"].title == "Ours"


def test_a_pair_of_keys_is_only_for_providers_that_know_one(tmp_path: Path) -> None:
    text = ACCOUNTS.replace("api_key: k12345", "access_key: a12345, secret_key: b12345")
    with pytest.raises(ConfigError) as refused:
        catalogue(loaded(tmp_path, text))
    (line,) = refused.value.problems
    assert "genbridge.yaml:4:" in line
    assert "accounts.music.access_key: suno knows no pair of keys" in line


def test_an_account_at_a_host_that_takes_signed_requests_needs_a_pair_of_keys(tmp_path: Path) -> None:
    host = "https://visual.volcengineapi.com"
    account = f'accounts:\n  dream: {{provider: jimeng, base_url: "{host}", api_key: k12345}}\n'
    with pytest.raises(ConfigError) as refused:
        catalogue(loaded(tmp_path, account))
    (line,) = refused.value.problems
    assert "genbridge.yaml:2:" in line
    assert (
        "accounts.dream.api_key: requests to visual.volcengineapi.com are signed: write access_key and secret_key"
        in line
    )
    assert catalogue(loaded(tmp_path, account.replace("api_key: k12345", "access_key: a12345, secret_key: b12345")))
    assert catalogue(loaded(tmp_path, account.replace(host, BASE)))


@pytest.mark.parametrize("answer", [{"error": {"message": "Invalid token"}}, {"code": 1002, "message": ""}])
def test_an_answer_that_names_no_new_task_is_told_as_such(tmp_path: Path, answer: dict[str, object]) -> None:
    with pytest.raises(TaskProblem, match=r"neither a task \(keys: id, .*\) nor a create call's answer"):
        task_created(loaded(tmp_path, ACCOUNTS), answer, account=None)
