"""Reading tasks against settings with every provider, built-in or from the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.config import load
from bridge.config.load import Loaded
from bridge.config.settings_file import read_settings
from bridge.domain.task import Json
from bridge.errors import ConfigError
from bridge.providers.catalogue import BUILT_IN
from bridge.sources.task_reader import TaskProblem
from bridge.wiring.account_catalogue import base_url_of, catalogue, limits_of
from bridge.wiring.task_lookup import TaskLookup
from bridge.wiring.task_reading import task_reader

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


HOSTED = {name: each.base_url[0] for name, each in BUILT_IN.items() if len(each.base_url) == 1}


def task_created(settings: Loaded, answer: Json, *, account: str | None) -> dict[str, Any] | None:
    return TaskLookup(settings.accounts, catalogue(settings)).created(answer, account)


def test_a_provider_with_one_official_host_needs_no_base_url(tmp_path: Path) -> None:
    keys = {"comfyui": "", "jimeng": ", access_key: a12345, secret_key: s12345"}
    lines = [f"  {name}: {{provider: {name}{keys.get(name, ', api_key: k12345')}}}" for name in HOSTED]
    settings = loaded(tmp_path, "\n".join(["accounts:", *lines, ""]))

    known = catalogue(settings)

    accounts = settings.settings.accounts
    assert {name: base_url_of(accounts[name], known[name]) for name in accounts} == HOSTED
    assert {name for name, each in known.items() if each.default_base_url is not None} == set(HOSTED)
    assert (HOSTED["kie_suno"], len(HOSTED) > 30) == ("https://api.kie.ai", True)
    runway = task_reader(settings).read("https://api.dev.runwayml.com/v1/tasks/17")
    assert (runway.account, runway.task_id) == ("runway", "17")


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        (
            "kling",
            "kling has 2 official hosts: https://api-beijing.klingai.com, https://api-singapore.klingai.com. Write",
        ),
        ("vidu", "vidu has 2 official hosts: https://api.vidu.cn, https://api.vidu.com. Write"),
        ("newapi", "write the base URL of the API, e.g. https://api.example.com"),
    ],
)
def test_a_base_url_without_an_official_host_is_required(tmp_path: Path, provider: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        catalogue(loaded(tmp_path, f"accounts:\n  a: {{provider: {provider}, api_key: k12345}}\n"))
    (line,) = refused.value.problems
    assert "genbridge.yaml:2:" in line
    assert f"accounts.a.base_url: is missing; {told}" in line


def test_an_own_description_may_need_no_key(tmp_path: Path) -> None:
    own = "providers:\n  mine: {extends: comfyui, title: Mine}\n  open: {extends: runway, ask: {auth: none}}\n"
    base = 'base_url: "https://api.example.com"'
    account = f"accounts:\n  a: {{provider: mine, {base}}}\n  b: {{provider: open, {base}}}\n"
    assert catalogue(loaded(tmp_path, own + account))
    with pytest.raises(ConfigError, match=r"accounts.c.api_key: is missing"):
        loaded(tmp_path, own + account + "  c: {provider: runway}\n")


def test_an_accounts_own_limits_replace_its_providers(tmp_path: Path) -> None:
    account = "accounts:\n  a: {provider: runpod, api_key: k12345}\n"
    given = loaded(tmp_path, account + "  b: {provider: runpod, api_key: k12345, limits: {rate: 10}}\n").settings
    runpod, kling = BUILT_IN["runpod"], BUILT_IN["kling"]

    limits = [limits_of(given.accounts[name], known) for name, known in [("a", runpod), ("b", runpod), ("a", kling)]]

    told = [(each.rate, each.burst, each.concurrency) for each in limits]
    assert told == [(50, 100, 32), (10, 100, 32), (10, 20, 16)]


@pytest.mark.parametrize("action", ["fal-ai/flux-pro/v1.1-ultra", "fal-ai/flux/dev", "workflows/me/mine"])
def test_an_account_takes_every_action_that_add_takes(tmp_path: Path, action: str) -> None:
    settings = loaded(tmp_path, f"accounts:\n  a: {{provider: fal, api_key: k12345, action: {action}}}\n")
    assert catalogue(settings)
    assert task_reader(settings).read("1").action == action


def test_a_task_whose_action_neither_it_nor_its_id_names_is_refused(tmp_path: Path) -> None:
    own = 'ask: {path: "/v1/{action}/{id}"}, action: {pattern: "[a-z]+", example: x, by_id: {"v-.+": video}}'
    account = "a: {provider: mine, api_key: k12345, base_url: https://x}"
    written = f"providers:\n  mine: {{extends: runway, {own}}}\naccounts:\n  {account}\n"
    reader = task_reader(loaded(tmp_path, written))
    assert reader.read("v-1").task_id == "v-1"
    with pytest.raises(TaskProblem, match="action: neither the task nor its account has an action"):
        reader.read("w-1")


def test_an_action_with_other_characters_is_the_providers_business(tmp_path: Path) -> None:
    own = (
        'providers:\n  mine: {extends: runway, ask: {path: "/v1/{action}/{id}"}, action: {pattern: ".+", example: x}}\n'
    )
    written = own + 'accounts:\n  a: {provider: mine, base_url: https://x, api_key: k12345, action: "Ä b:c/d/e/f/g?"}\n'
    assert task_reader(loaded(tmp_path, written)).read("1").action == "Ä b:c/d/e/f/g?"


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
    for action in ("videos/../x", "/videos"):
        with pytest.raises(ConfigError, match=r"genbridge.yaml:3:\d+: accounts.kling.action: .*is not a valid action"):
            catalogue(loaded(tmp_path, ACCOUNTS.replace("videos/text2video", action)))


def test_a_query_url_names_account_and_action_of_any_provider(tmp_path: Path) -> None:
    reader = task_reader(loaded(tmp_path, ACCOUNTS))
    music = reader.read(f"{BASE}/suno/fetch/a%2Fb")
    assert (music.account, music.task_id) == ("music", "a/b")
    film = reader.read(f"{BASE}/kling/v1/videos/avatar/image2video/42")
    assert (film.account, film.action, film.task_id) == ("kling", "videos/avatar/image2video", "42")


def test_a_query_url_at_a_shared_address_belongs_to_the_named_account(tmp_path: Path) -> None:
    second = f'  second: {{provider: suno, base_url: "{BASE}", api_key: k12345}}\n'
    reader = task_reader(loaded(tmp_path, ACCOUNTS + second))
    assert reader.read({"id": f"{BASE}/suno/fetch/1", "account": "second"}).account == "second"
    assert reader.read({"id": f"{BASE}/suno/fetch/1", "account": "music"}).account == "music"
    with pytest.raises(TaskProblem, match=r"several accounts \(music, second\)"):
        reader.read(f"{BASE}/suno/fetch/1")
    with pytest.raises(TaskProblem, match='the URL belongs to "music"'):
        reader.read({"id": f"{BASE}/suno/fetch/1", "account": "kling"})


def test_a_create_calls_answer_names_the_task(tmp_path: Path) -> None:
    settings = loaded(tmp_path, ACCOUNTS)
    answer = {"code": 0, "message": "SUCCEED", "request_id": "r", "data": {"task_id": "42", "task_status": "submitted"}}
    assert task_created(settings, answer, account=None) == {"id": "42", "account": "kling"}
    song = {"code": "success", "message": "", "data": "song-1"}
    assert task_created(settings, song, account="music") == {"id": "song-1", "account": "music"}
    assert task_created(settings, {"id": "a", "label": "b"}, account=None) is None


UUID = "17f20503-6c24-4c16-946b-35dbbce2af2f"


@pytest.mark.parametrize(("answer", "account"), [({"id": UUID}, "film"), ({"id": "cgt-2025-x"}, "seed")])
def test_a_create_answer_with_a_bare_id_belongs_to_the_only_match(
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
def test_a_bare_id_that_matches_no_create_answer_is_a_task(tmp_path: Path, task_id: str) -> None:
    film = f'  film: {{provider: runway, base_url: "{BASE}", api_key: k12345}}\n'
    assert task_created(loaded(tmp_path, ACCOUNTS + film), {"id": task_id}, account=None) is None


@pytest.mark.parametrize("url", ["/kling/tasks?task_ids=91,92", "/kling/tasks?task_ids=91%2C92"])
def test_a_query_url_about_several_tasks_is_not_taken_for_one(tmp_path: Path, url: str) -> None:
    settings = loaded(tmp_path, f'accounts: {{new: {{provider: kling_v2, base_url: "{BASE}", api_key: k12345}}}}')
    with pytest.raises(TaskProblem, match="the URL names 2 tasks: give their ids one by one"):
        task_reader(settings).read(f"{BASE}{url}")
    assert task_reader(settings).read(f"{BASE}/kling/tasks?task_ids=91").task_id == "91"


def test_answers_of_vendors_with_similar_forms_are_distinguished(tmp_path: Path) -> None:
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


def test_an_answer_that_fits_several_accounts_needs_an_account(tmp_path: Path) -> None:
    settings = loaded(tmp_path, ACCOUNTS + f'  second: {{provider: suno, base_url: "{BASE}", api_key: k12345}}\n')
    song = {"code": "success", "message": "", "data": "song-1"}
    with pytest.raises(TaskProblem, match="choose with --account"):
        task_created(settings, song, account=None)
    assert task_created(settings, song, account="second") == {"id": "song-1", "account": "second"}


def test_an_own_description_with_the_name_of_a_built_in_replaces_it(tmp_path: Path) -> None:
    text = "providers:\n  suno:\n    extends: suno\n    title: Ours\n" + ACCOUNTS.lstrip()
    assert catalogue(loaded(tmp_path, text))["suno"].title == "Ours"


def test_a_pair_of_keys_is_only_for_providers_that_know_one(tmp_path: Path) -> None:
    text = ACCOUNTS.replace("api_key: k12345", "access_key: a12345, secret_key: b12345")
    with pytest.raises(ConfigError) as refused:
        catalogue(loaded(tmp_path, text))
    (line,) = refused.value.problems
    assert "genbridge.yaml:4:" in line
    assert "accounts.music.access_key: suno does not use a pair of keys" in line


@pytest.mark.parametrize("key", ["Bearer k12345", "token k12345", "Key k12345"])
def test_a_key_must_not_begin_with_the_scheme_that_genbridge_adds(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        catalogue(loaded(tmp_path, ACCOUNTS.replace("k12345", f'"{key}"')))
    line = refused.value.problems[-1]
    assert f'accounts.music.api_key: begins with "{key.partition(" ")[0]}"; write only the key' in line
    assert "k12345" not in line


def test_a_key_sent_alone_in_a_header_may_contain_a_scheme(tmp_path: Path) -> None:
    own = "providers:\n  ours: {extends: suno, ask: {auth: header Authorization}}\n"
    account = f'accounts:\n  music: {{provider: ours, base_url: "{BASE}", api_key: "Basic k12345"}}\n'
    assert "ours" in catalogue(loaded(tmp_path, own + account))


def test_a_host_with_signed_requests_needs_a_pair_of_keys(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    "answer",
    [
        {"message": "hello"},
        {"request_id": "r1", "state": "queued"},
        {"job": {"uid": "r1"}},
        {"data": {"nobody": "knows"}},
    ],
)
@pytest.mark.parametrize("account", [None, "kling"])
def test_an_unknown_create_answer_gets_a_hint_to_write_a_description(
    tmp_path: Path, answer: dict[str, object], account: str | None
) -> None:
    with pytest.raises(TaskProblem) as refused:
        task_created(loaded(tmp_path, ACCOUNTS), answer, account=account)
    assert "neither a task (keys: id, " in str(refused.value)
    assert "nor a create answer that kling" in str(refused.value)
    assert "created: {when: request_id, id: request_id}" in str(refused.value)
    assert ('; it says "hello"; ' in str(refused.value)) is (answer == {"message": "hello"})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"error": {"message": "Invalid token", "code": "bad_key"}}, '"Invalid token" (code bad_key)'),
        ({"code": 1102, "message": "Resource pack depleted"}, '"Resource pack depleted" (code 1102)'),
        ({"code": 1002, "message": ""}, "without a message (code 1002)"),
        ({"detail": "no credits"}, '"no credits"'),
        ({"code": 400, "msg": "bad prompt", "data": None}, '"bad prompt" (code 400)'),
        ({"success": False, "msg": "no credits"}, '"no credits"'),
    ],
)
def test_the_providers_message_about_a_refused_task_is_shown(
    tmp_path: Path, answer: dict[str, object], said: str
) -> None:
    with pytest.raises(TaskProblem) as refused:
        task_created(loaded(tmp_path, ACCOUNTS), answer, account=None)
    assert str(refused.value) == f"not a task: the provider refused to create one: {said}"


def test_the_task_of_suno_may_be_an_object(tmp_path: Path) -> None:
    made = task_created(loaded(tmp_path, ACCOUNTS), {"code": "success", "data": {"task_id": "s-1"}}, account="music")
    assert made == {"id": "s-1", "account": "music"}


def test_a_success_that_no_account_recognizes_is_not_called_a_refusal(tmp_path: Path) -> None:
    other = f'  talk: {{provider: heygen, base_url: "{BASE}", api_key: k12345}}\n'  # its code of a success is 100
    with pytest.raises(TaskProblem) as refused:
        task_created(loaded(tmp_path, ACCOUNTS + other), {"code": 0, "data": {"job": "x"}}, account=None)
    assert str(refused.value).startswith("neither a task ")


@pytest.mark.parametrize("key", ["lable", "acount", "Action", "endpoint", "give_up_afer"])
@pytest.mark.parametrize("account", [None, "seed"])
def test_an_id_with_a_misspelled_key_is_not_a_create_answer(tmp_path: Path, key: str, account: str | None) -> None:
    seed = f'  seed: {{provider: ark, base_url: "{BASE}", api_key: k12345}}\n'
    settings = loaded(tmp_path, ACCOUNTS + seed)
    assert task_created(settings, {"id": "cgt-2025-x", key: "x"}, account=account) is None
    assert task_created(settings, {"task_id": "x", key: "x"}, account=account) is None


def test_an_id_with_an_unknown_key_alone_is_no_create_answer(tmp_path: Path) -> None:
    film = f'  film: {{provider: luma, base_url: "{BASE}", api_key: k12345}}\n'
    settings = loaded(tmp_path, ACCOUNTS + film)
    assert task_created(settings, {"id": "x", "shot": 1}, account="film") is None
    assert task_created(settings, {"id": "x", "status": "queued"}, account="film") == {"id": "x", "account": "film"}


def test_a_description_may_say_what_its_ids_look_like(tmp_path: Path) -> None:
    text = "providers:\n  suno:\n    extends: suno\n    id: {pattern: '[a-z]+ [0-9]+'}\n" + ACCOUNTS.lstrip()
    reader = task_reader(loaded(tmp_path, text))
    assert reader.read({"id": "song 1", "account": "music"}).task_id == "song 1"
    with pytest.raises(TaskProblem, match="ids of music match"):
        reader.read({"id": "song1", "account": "music"})


@pytest.mark.parametrize(("env", "is_known"), [({"BASE": BASE, "ACTION": "videos/text2video"}, True), ({}, False)])
def test_commands_use_variables_of_base_url_and_action_if_set(
    env: dict[str, str], is_known: bool, tmp_path: Path
) -> None:
    path = tmp_path / "genbridge.yaml"
    path.write_text('accounts: {k: {provider: kling, base_url: "${BASE}", api_key: "${KEY}", action: "${ACTION}"}}')
    reader = task_reader(read_settings(path, variables=env))
    if is_known:
        assert reader.read(f"{BASE}/kling/v1/videos/image2video/a").action == "videos/image2video"
        assert reader.read("a").action == "videos/text2video"
        return
    with pytest.raises(TaskProblem, match=r"the base_url of account k has \$\{BASE\}, which is not set here"):
        reader.read(f"{BASE}/kling/v1/videos/image2video/a")
    with pytest.raises(TaskProblem, match=r"action: the settings have \$\{ACTION\}, which is not set here"):
        reader.read("a")
    assert reader.read({"id": "a", "action": "videos/text2video"}).action == "videos/text2video"
