from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest

from bridge.config import load
from bridge.config.endpoint_settings import Apprise, Webhook
from bridge.config.model import QueueFolder
from bridge.config.secret import ReferenceContext, SecretText, resolve_secret
from bridge.errors import BridgeBug, ConfigError
from tests.config.settings_files import LEAST, SIGNING, loaded, problems, resolved, written

CANARY = "canary-5e7d1f2a"


def stands_for(text: str, env: Mapping[str, str], base_dir: Path) -> str:
    return resolve_secret(text, ReferenceContext(env=env, base_dir=base_dir))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "aaa"),
        ("${A:-x}", "aaa"),
        ("${NONE:-x}", "x"),
        ("${NONE:-}", ""),
        ("${EMPTY:-x}", "x"),
        ("tgram://${A}/${B:-7}", "tgram://aaa/7"),
        ("plain", "plain"),
        ("$A ${ {A}", "$A ${ {A}"),
        ("file:key", "from a file"),
        ("file:${A}", "from another"),
        ("${FILE}", "file:key"),
    ],
)
def test_a_reference_is_replaced_with_its_value(tmp_path: Path, text: str, value: str) -> None:
    (tmp_path / "key").write_text("from a file\n")
    (tmp_path / "aaa").write_text("from another")
    env = {"A": "aaa", "EMPTY": "", "FILE": "file:key"}
    assert stands_for(text, env, tmp_path) == value


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"k\n", "k"), (b"k\r\n", "k"), (b"k\n\n", "k\n"), (b"k", "k"), (b" k", " k"), ("é".encode(), "é")],
)
def test_one_trailing_newline_of_a_file_is_dropped(tmp_path: Path, data: bytes, value: str) -> None:
    (tmp_path / "key").write_bytes(data)
    assert stands_for("file:key", {}, tmp_path) == value


def test_a_secrets_file_may_be_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").write_text("k\n")
    assert stands_for("file:~/key", {}, Path("/nowhere")) == "k"


def test_a_credential_is_read_from_the_service_managers_folder(tmp_path: Path) -> None:
    (tmp_path / "kling").write_text("k\n")
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert stands_for("credential:kling", env, Path("/nowhere")) == "k"


def test_a_reference_that_cannot_be_resolved_gives_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    os.mkfifo(tmp_path / "pipe")
    for text, message in {
        "${A}${B}${A}": "not set in the environment: A, B",
        "${EMPTY}": "not set in the environment: EMPTY",
        "${BYTES}": "not UTF-8 in the environment: BYTES",
        "file:none": f'the file "{tmp_path}/none" does not exist',
        "file:.": f'the file "{tmp_path}" is not a regular file',
        "file:pipe": f'the file "{tmp_path}/pipe" is not a regular file',
        "file:empty": f'the file "{tmp_path}/empty" is empty',
        "file:binary": f'the file "{tmp_path}/binary" is not text',
        "file:large": f'the file "{tmp_path}/large" is larger than 65536 bytes',
        "file:empty/x": f'the file "{tmp_path}/empty/x" cannot be read: Not a directory',
        "credential:x": (
            'no credential "x": $CREDENTIALS_DIRECTORY is not set (the service manager sets it, see LoadCredential=)'
        ),
        "credential:${UP}": "a credential is written credential:NAME, the name without slashes",
    }.items():
        with pytest.raises(ValueError, match=r".") as caught:
            stands_for(text, {"EMPTY": "", "UP": "../up", "BYTES": os.fsdecode(b"key-\xff")}, tmp_path)
        assert str(caught.value) == message
    with pytest.raises(ValueError, match=r'^the credential "x" does not exist$'):
        stands_for("credential:x", {"CREDENTIALS_DIRECTORY": str(tmp_path)}, tmp_path)


def test_a_secret_is_revealed_only_once_resolved_and_never_prints() -> None:
    reference, literal = SecretText("${A}"), SecretText(CANARY)
    assert not reference.is_resolved
    with pytest.raises(BridgeBug):
        reference.reveal()
    assert literal.reveal() == CANARY
    for text in (repr(literal), str(literal), f"{literal}", repr([literal])):
        assert CANARY not in text
    with pytest.raises(TypeError):
        pickle.dumps(literal)
    assert SecretText("${A}", "x") != SecretText("${A}", "y")
    assert SecretText("${A}", "x") == SecretText("${A}", "x")
    assert len({SecretText("a"), SecretText("a"), SecretText("b")}) == 2
    assert SecretText("a") != "a"


FULL = f"""\
accounts:
  kling:
    provider: kling
    base_url: https://${{HOST:-api.example.com}}/kling/
    api_key: "${{KEY}}"
    headers: {{X-Token: "t ${{KEY}}"}}
    proxy: http://u:${{KEY}}@proxy.example:3128
endpoints:
  hook:
    type: webhook
    url: https://hooks.example.com/${{KEY}}/x
    api_key: file:key
    secret: ["${{SIGNING}}", "{SIGNING}"]
    headers: {{X-Api-Key: "${{KEY}}"}}
  chat:
    type: apprise
    urls: ["tgram://${{KEY}}/1", "mailto://me:${{KEY}}@mail.example?to=you@mail.example"]
    title: "${{WHO:-bridge}}: {{{{ outcome }}}} $${{{{ 1 }}}}"
sources: {{queue: "${{SPOOL}}/queue"}}
"""
ENV = {"KEY": CANARY, "SIGNING": SIGNING, "SPOOL": "/var/spool/x"}


def test_every_text_of_the_settings_may_contain_references(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{CANARY}-file\n")
    (tmp_path / "key").chmod(0o600)
    unresolved = loaded(tmp_path, FULL).settings
    assert unresolved.accounts["kling"].base_url == "https://${HOST:-api.example.com}/kling/"
    found = resolved(tmp_path, FULL, ENV).settings
    account, hook, chat = found.accounts["kling"], found.endpoints["hook"], found.endpoints["chat"]
    assert isinstance(hook, Webhook)
    assert isinstance(chat, Apprise)
    assert account.base_url == "https://api.example.com/kling"
    assert account.api_key
    assert account.api_key.reveal() == CANARY
    assert account.headers["X-Token"].reveal() == f"t {CANARY}"
    assert account.proxy
    assert account.proxy.reveal() == f"http://u:{CANARY}@proxy.example:3128"
    assert hook.url.reveal() == f"https://hooks.example.com/{CANARY}/x"
    assert hook.api_key
    assert hook.api_key.reveal() == f"{CANARY}-file"
    assert [secret.reveal() for secret in hook.secret] == [SIGNING, SIGNING]
    assert chat.urls[0].written == "tgram://${KEY}/1"
    assert chat.urls[0].reveal() == f"tgram://{CANARY}/1"
    assert chat.title == "bridge: {{ outcome }} $${{ 1 }}"
    assert found.sources.queue == QueueFolder(path="/var/spool/x/queue")


def test_settings_print_without_secrets_in_every_format(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{CANARY}-file")
    found = resolved(tmp_path, FULL, ENV)
    dumped = (found.settings.model_dump(), found.settings.model_dump_json(), found.settings.model_dump(mode="json"))
    for text in (repr(found), str(found), str(found.settings), *map(str, dumped)):
        assert CANARY not in text
        assert SIGNING not in text


def test_errors_and_tracebacks_contain_no_secret(tmp_path: Path) -> None:
    bad = FULL.replace("${KEY}/x", "${BAD}").replace("api_key: file:key", 'api_key: "${BAD}"')
    bad = bad.replace("https://${HOST:-api.example.com}/kling/", "${BAD}")
    bad = bad.replace("provider: kling", 'provider: kling\n    action: "${BAD}"').replace('"${SIGNING}"', '"${BAD}"')
    bad = bad.replace("tgram://${KEY}/1", "${BAD}") + 'store: "${BAD}"\n'
    env = {**ENV, "BAD": f"{CANARY} é\n://"}
    found = loaded(tmp_path, bad)
    with pytest.raises(ConfigError) as caught:
        load.resolve(found, env)
    assert len(caught.value.problems) == 7
    text = "".join(traceback.format_exception(caught.value, chain=True)) + repr(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert CANARY not in text


def test_all_unresolved_references_are_reported_together_with_their_locations(tmp_path: Path) -> None:
    assert problems(tmp_path, FULL, env={}) == [
        "genbridge.yaml:5:14: accounts.kling.api_key: not set in the environment: KEY",
        "genbridge.yaml:6:24: accounts.kling.headers.X-Token: not set in the environment: KEY",
        "genbridge.yaml:7:12: accounts.kling.proxy: not set in the environment: KEY",
        "genbridge.yaml:11:10: endpoints.hook.url: not set in the environment: KEY",
        f'genbridge.yaml:12:14: endpoints.hook.api_key: the file "{tmp_path}/key" does not exist',
        "genbridge.yaml:13:14: endpoints.hook.secret[0]: not set in the environment: SIGNING",
        "genbridge.yaml:14:26: endpoints.hook.headers.X-Api-Key: not set in the environment: KEY",
        "genbridge.yaml:17:12: endpoints.chat.urls[0]: not set in the environment: KEY",
        "genbridge.yaml:17:32: endpoints.chat.urls[1]: not set in the environment: KEY",
        "genbridge.yaml:19:18: sources.queue: not set in the environment: SPOOL",
    ]


def test_the_value_of_a_reference_is_checked_like_a_literal(tmp_path: Path) -> None:
    text = LEAST.replace("https://api.example.com", "${BASE}")
    env = {"KLING_API_KEY": "k\n", "BASE": "ftp://x"}
    assert problems(tmp_path, text, env=env) == [
        'genbridge.yaml:4:15: accounts.kling.base_url: scheme "ftp" is not supported; use http or https',
        "genbridge.yaml:5:14: accounts.kling.api_key: contains the control character U+000A",
    ]
    twice = LEAST + "  c: {type: apprise, urls: ['json://${A}', 'json://${B}']}"
    assert problems(tmp_path, twice, env={"KLING_API_KEY": "k", "A": "x", "B": "x"}) == [
        "genbridge.yaml:10:28: endpoints.c.urls: number 2 is the same as number 1"
    ]


def test_a_secret_file_that_others_may_read_is_a_warning(tmp_path: Path) -> None:
    text = LEAST.replace('"${KLING_API_KEY}"', "file:key")
    (tmp_path / "key").write_text("k")
    (tmp_path / "key").chmod(0o644)
    assert resolved(tmp_path, text, {}).warnings == (f'the file "{tmp_path}/key" is readable by others; chmod o-r it',)
    (tmp_path / "key").chmod(0o640)
    assert resolved(tmp_path, text, {}).warnings == ()


@pytest.mark.parametrize(
    ("text", "warns"),
    [
        (LEAST, False),
        (LEAST.replace("${KLING_API_KEY}", CANARY), True),
        (LEAST + f"    api_key: {CANARY}", True),
        (LEAST + f"    headers: {{X-Auth: {CANARY}}}", True),
        (LEAST + "    headers: {X-From: genbridge}", False),
        (LEAST + "  c: {type: apprise, urls: ['tgram://1:abc/2']}", True),
        (LEAST + "  c: {type: apprise, urls: ['tgram://${T}/2']}", False),
        (LEAST + "  c: {type: webhook, format: slack, url: 'https://hooks.slack.com/services/T0/B0/x1'}", True),
        (LEAST + "  c: {type: webhook, format: slack, url: 'https://hooks.slack.com/services/${T}'}", False),
        (f"store: postgresql://me:{CANARY}@db/x\n" + LEAST, True),
        ("store: postgresql://me:${PW}@db/x\n" + LEAST, False),
        ("store: postgresql://me@db/x\n" + LEAST, False),
    ],
)
def test_a_settings_file_with_secrets_that_others_may_read_is_a_warning(tmp_path: Path, text: str, warns: bool) -> None:
    path = written(tmp_path, text)
    assert load.load(path, {}).warnings == ()
    path.chmod(0o644)
    warnings = load.load(path, {}).warnings
    assert any("holds secrets and is readable by others" in warning for warning in warnings) == warns
    assert CANARY not in str(warnings)


def test_all_secrets_are_listed_for_the_log_to_hide(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{CANARY}-file\n")
    text = FULL.replace("u:${KEY}", "u:p%20ss").replace("${HOST:-api.example.com}", "${HOST}")
    env = {**ENV, "HOST": "api.example.com", "KEY": f"{CANARY}+/="}
    found = load.secrets(resolved(tmp_path, text, env), env)
    assert {f"{CANARY}+/=", f"{CANARY}%2B%2F%3D", f"{CANARY}-file", SIGNING, SIGNING.removeprefix("whsec_")} <= set(
        found
    )
    assert {"p%20ss", "p ss"} <= set(found)
    assert not {"api.example.com", "hooks.example.com", "mail.example", "1", "u", "x"} & set(found)
    assert found == sorted(found, key=lambda text: (-len(text), text))
    stored = {"KLING_API_KEY": "key", "GENBRIDGE_STORE": f"postgresql://me:{CANARY}%2F@db/x?sslpassword=other"}
    found = load.secrets(resolved(tmp_path, LEAST, stored), stored)
    assert {f"{CANARY}%2F", f"{CANARY}/", "other"} <= set(found)
    short = {"KLING_API_KEY": "abc"}
    assert load.secrets(resolved(tmp_path, LEAST, short), short) == []  # would hide half of every line


@pytest.mark.parametrize(
    ("form", "url", "tokens"),
    [
        ("feishu", "https://open.feishu.cn/open-apis/bot/v2/hook/a1b2c3d4-0000", {"a1b2c3d4-0000"}),
        ("dingtalk", "https://oapi.dingtalk.com/robot/send?access_token=0f1e2d3c4b", {"0f1e2d3c4b"}),
        ("discord", "https://discord.com/api/webhooks/12345678/AbCd1fGhIjKl", {"12345678", "AbCd1fGhIjKl"}),
        ("telegram", "https://api.telegram.org/bot123456:AAE-xyz123/sendMessage", {"bot123456", "AAE-xyz123"}),
    ],
)  # fmt: skip
def test_only_the_tokens_in_a_robots_url_are_hidden(tmp_path: Path, form: str, url: str, tokens: set[str]) -> None:
    chat = ", chat_id: 1" if form == "telegram" else ""
    text = LEAST + f"  c: {{type: webhook, format: {form}, url: '{url}'{chat}}}"
    found = set(load.secrets(resolved(tmp_path, text, {"KLING_API_KEY": "k"}), {}))
    assert tokens <= found
    assert not {"webhooks", "sendMessage", "open-apis", "access_token", "discord.com"} & found


def test_only_secret_headers_are_hidden(tmp_path: Path) -> None:
    headers = "{X-Client: genbridge, X-Hook-Key: sesame, Authorization: Bearer opening, X-Trace: 4f1e2d3c4b5a6978}"
    text = LEAST + f"    headers: {headers}"
    found = load.secrets(resolved(tmp_path, text, {"KLING_API_KEY": "k"}), {})
    assert {text for text in found if "%" not in text} == {"sesame", "Bearer opening", "opening", "4f1e2d3c4b5a6978"}


def test_an_endpoints_fingerprint_depends_only_on_its_written_settings(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k")
    first = loaded(tmp_path, FULL).settings.endpoints
    again = resolved(tmp_path, FULL, ENV).settings.endpoints
    other = resolved(tmp_path, FULL, {**ENV, "KEY": "another-key"}).settings.endpoints
    moved = loaded(tmp_path, FULL.replace("/x", "/y")).settings.endpoints
    for name in ("hook", "chat"):
        assert first[name].fingerprint == again[name].fingerprint == other[name].fingerprint
        assert len(first[name].fingerprint) == 16
        int(first[name].fingerprint, 16)
    assert moved["hook"].fingerprint != first["hook"].fingerprint
    assert moved["chat"].fingerprint == first["chat"].fingerprint
    assert again["hook"] != other["hook"]
