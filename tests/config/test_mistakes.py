"""Every kind of mistake in settings is reported in one line with its location."""

# ruff: noqa: E501 - one row of a table is one mistake

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from bridge.config.mistakes import mistakes
from bridge.domain.event import Topic
from tests.config.settings_files import LEAST, SIGNING, loaded, problems
from tests.stopwatch import within_cpu_s

HERE = "genbridge.yaml"
NOT_A_NAME = "is not a name; use 1 to 64 letters, digits, _ . or -, starting with a letter or digit"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [f"{HERE}:1:1: the settings are empty; name at least one account"]),
        ("# only\n# comments\n", [f"{HERE}:1:1: the settings are empty; name at least one account"]),
        ("- a\n- list\n", [f"{HERE}:1:1: the settings must be a mapping of keys"]),
        ("just text", [f"{HERE}:1:1: the settings must be a mapping of keys"]),
        ("accounts:\n\tkling: {}\n", [f"{HERE}:2:1: a tab; indent YAML with spaces"]),
        (LEAST.encode("utf-16"), [f"{HERE}:1:1: the file is UTF-16; save it as UTF-8"]),
        (
            LEAST.encode("utf-16-le"),
            [f"{HERE}:1:2: the character U+0000 is not allowed (UTF-16? save the file as UTF-8)"],
        ),
        ("store: a\0b", [f"{HERE}:1:9: the character U+0000 is not allowed (UTF-16? save the file as UTF-8)"]),
        ('store: "a\\0b"\n' + LEAST, [f"{HERE}:1:8: store: contains the control character U+0000"]),
        ("a: &a [*a]", [f"{HERE}:1:8: the alias *a refers to itself"]),
        ("a: " + "[" * 60 + "]" * 60, [f"{HERE}:1:53: nested deeper than 50 levels"]),
        (
            "store: !!python/object/apply:os.system [x]",
            [f'{HERE}:1:8: the tag "!!python/object/apply:os.system" is not allowed; write a plain value'],
        ),
        (LEAST + "accounts: {}", [f'{HERE}:10:1: the key "accounts" is here twice; first in line 1']),
        (
            LEAST + "limits: {api_key: ${X}}",
            [f'{HERE}:10:19: an unquoted ${{...}} inside {{ }} or [ ] is not YAML; quote it: "${{...}}"'],
        ),
        (LEAST + "---\n" + LEAST, [f"{HERE}:11:1: a second document starts here; only one is allowed"]),
        ("#" * (1024 * 1024 + 1), [f"{HERE}:1:1: the file has 1048577 bytes; at most 1048576 are allowed"]),
    ],
)
def test_a_file_without_settings_gives_one_line(tmp_path: Path, text: str | bytes, lines: list[str]) -> None:
    assert problems(tmp_path, text) == lines


def test_a_byte_order_mark_is_tolerated(tmp_path: Path) -> None:
    assert loaded(tmp_path, b"\xef\xbb\xbf" + LEAST.encode()).settings == loaded(tmp_path, LEAST).settings


def test_an_alias_bomb_is_refused(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
    )
    (line,) = problems(tmp_path, bomb)
    assert line.endswith(": the aliases expand to too much data")


KNOWN_TOPICS = ", ".join(sorted(Topic)[:12]) + ", ..."
FORMS = "write 30s, 5m, 1h30m, 24h, 30d, 500ms or a number of seconds"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("acounts: {}", '1: acounts: unknown key "acounts"; did you mean "accounts"?'),
        ("zzz: {}", '1: zzz: unknown key "zzz"; there are: accounts, archive, delivery, endpoints, http, log, polling, providers, retention, routes, sharing, sources, ...'),
        ('"a b": 1', '1: "a b": unknown key "a b"; there are: '),
        ("providers: []", "12: providers: must be a mapping of keys"),
        ("http: {listen: x}", "16: http.listen: is not an address to listen on: write HOST:PORT"),
        ("http: {listen: '127.0.0.1:70000'}", "16: http.listen: port 70000 does not exist"),
        ("http: {listen: '0.0.0.0:1'}", "7: http.token: is missing; set it, or listen on 127.0.0.1 or a Unix socket"),
        ("http: {read_token: abcdefgh}", "20: http.read_token: needs token"),
        ("http: {token: abcdefgh, read_token: abcdefgh}", "37: http.read_token: is the same as token"),
        ("http: {gateway: true}", "17: http.gateway: needs token"),
        ("http: {gateway: 1}", "17: http.gateway: must be true or false"),
        ("http: {hosts: ['https://a.example.com']}", "16: http.hosts[0]: is not a host name"),
        ("http: {hosts: ['a.example.com:80']}", "16: http.hosts[0]: is not a host name"),
        ("http: {hosts: ['*.example.com']}", "16: http.hosts[0]: is not a host name"),
        ("http: {hosts: ['a.example.com b.example.com']}", "16: http.hosts[0]: is not a host name"),
        ("archive: {to: a, max_size: big}", '28: archive.max_size: "big" is not a size; write 500MB, 2GiB or a number of bytes'),
        ("archive: {to: 'ftp://a/b'}", '15: archive.to: scheme "ftp" is not supported; use a folder or s3://bucket/prefix'),
        ("archive: {to: 's3:/bucket'}", "15: archive.to: is not a bucket; write s3://bucket/prefix"),
        ("archive: videos/", "10: archive: must be a mapping of keys, such as to, kinds, max_size"),
        ("http: true", "7: http: must be a mapping of keys, such as listen, token, read_token"),
        ("archive: {to: a, allow: [10.0.0.1/8]}", "26: archive.allow[0]: is not a network"),
        ("archive: {}", "1: archive.to: is missing"),
        ("store: postgresql:db/x", "8: store: a store in PostgreSQL is written postgresql://USER@HOST/DATABASE"),
        ("store: sqlite:///x", "8: store: must be a path (SQLite) or postgresql://USER@HOST/DATABASE, not another URL"),
        ("store: [a]", "8: store: must be text"),
        ("polling: {cadence: quick}", '20: polling.cadence: unknown cadence "quick"; there are: fixed, learned'),
        ("polling: {budget: 1}", "19: polling.budget: must be more than 1"),
        ("polling: {transport: curl}", '22: polling.transport: unknown transport "curl"; there are: asyncio, httpx'),
        ("polling: {min_intervall: 2s}", '11: polling.min_intervall: unknown key "min_intervall"; did you mean "min_interval"?'),
        ("polling: {min_interval_s: 2}", '11: polling.min_interval_s: unknown key "min_interval_s"; did you mean "min_interval"?'),
        ("polling: {min_interval: -2s}", '25: polling.min_interval: "-2s" is negative'),
        ("polling: {min_interval: 0}", "25: polling.min_interval: must be more than 0"),
        ("polling: {min_interval: .nan}", f'25: polling.min_interval: ".nan" is not a duration; {FORMS}'),
        ("polling: {min_interval: .inf}", f'25: polling.min_interval: ".inf" is not a duration; {FORMS}'),
        ("polling: {min_interval: 12:30:00}", f'25: polling.min_interval: "12:30:00" is not a duration; {FORMS}'),
        ("polling: {min_interval: no}", f'25: polling.min_interval: "no" is not a duration; {FORMS}'),
        ("polling: {min_interval: [2s]}", "25: polling.min_interval: must be a single value"),
        ("polling: {give_up_after: 9999999d}", '26: polling.give_up_after: "9999999d" is longer than ten years'),
        ("polling: {min_interval: 10m}", "10: polling.max_interval: 300s is less than min_interval (600s)"),
        ("polling: {min_interval: 9s, max_interval: 3s}", "43: polling.max_interval: 3s is less than min_interval (9s)"),
        ("polling: {not_found: {answers: 0}}", "32: polling.not_found.answers: must be at least 1"),
        ("polling: {not_found: {answers: 1_0}}", '32: polling.not_found.answers: "1_0" is not a whole number'),
        ("polling: {timeout: '${T}'}", "20: polling.timeout: must be a number; ${...} is only possible in texts"),
        ("polling: 5s", "10: polling: must be a mapping of keys, such as min_interval, max_interval, cadence"),
        ("delivery: {retries: 5s}", "21: delivery.retries: must be a list"),
        ("delivery: {retries: [5s, x]}", f'26: delivery.retries[1]: "x" is not a duration; {FORMS}'),
        ("delivery: {retries: [5s, ~]}", "26: delivery.retries[1]: is empty"),
        (f"delivery: {{retries: [{'1s, ' * 101}]}}", "21: delivery.retries: has more than 100"),
        ("log: {level: loud}", '14: log.level: unknown level "loud"; there are: debug, error, info, warning'),
        ("log: {format: jsn}", '15: log.format: unknown format "jsn"; did you mean "json"?'),
        ("routes: {topics: []}", "9: routes: must be a list"),
        ("routes: [automation]", "10: routes[0]: must be a mapping of keys"),
        ("routes: [{topics: [task_failed]}]", "10: routes[0].endpoints: is missing"),
        ("routes: [{endpoints: []}]", "22: routes[0].endpoints: is empty; name at least one"),
        ("routes: [{endpoints: [automatoin]}]", '23: routes[0].endpoints[0]: unknown endpoint "automatoin"; did you mean "automation"?'),
        ("routes: [{endpoints: [automation], accounts: [suno]}]", '47: routes[0].accounts[0]: unknown account "suno"; there are: kling'),
        ("routes: [{endpoints: [automation], topics: [task_sucess]}]", '45: routes[0].topics[0]: unknown topic "task_sucess"; did you mean "task_succeeded"?'),
        ("routes: [{endpoints: [automation], topics: [xyz]}]", f'45: routes[0].topics[0]: unknown topic "xyz"; there are: {KNOWN_TOPICS}'),
        ("routes: [{endpoints: [automation], topics: [[a]]}]", "45: routes[0].topics[0]: must be text"),
        ("sources: {queue: file:/tmp}", "18: sources.queue: must be a path, not a URL"),
        ("sources: {qeue: x}", '11: sources.qeue: unknown key "qeue"; did you mean "queue"?'),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_line_column_and_key(tmp_path: Path, line: str, expected: str) -> None:
    (found,) = problems(tmp_path, LEAST + line)
    assert found.startswith(f"{HERE}:10:{expected}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("base_url: api.example.com", "15: accounts.kling.base_url: has no scheme; write https://..."),
        ("base_url: ftp://a.example", '15: accounts.kling.base_url: scheme "ftp" is not supported; use http or https'),
        ("base_url: file:///etc/passwd", '15: accounts.kling.base_url: scheme "file" is not supported; use http or https'),
        ("base_url: file:/etc/passwd", '15: accounts.kling.base_url: scheme "file" is not supported; use http or https'),
        ("base_url: https://u:p@a.example", "15: accounts.kling.base_url: contains user info (user:password@); remove it; keys belong in api_key or headers"),
        ('base_url: "https://a.example/a b"', "15: accounts.kling.base_url: contains spaces or backslashes; percent-encode them"),
        ("base_url: https://a.example/?x=1", "15: accounts.kling.base_url: must not contain a query (?) or a fragment (#)"),
        ("base_url: https://", "15: accounts.kling.base_url: has no host"),
        ('base_url: "https://a\\u202e.example"', "15: accounts.kling.base_url: has an invalid host; write a name such as api.example.com"),
        ("base_url: https://a.example/ä", "15: accounts.kling.base_url: contains characters that a URL cannot have; percent-encode them"),
        ("base_url: https://a..example", "15: accounts.kling.base_url: has an invalid host; write a name such as api.example.com"),
        (f"base_url: https://{'a.' * 127}example", "15: accounts.kling.base_url: has an invalid host; write a name such as api.example.com"),
        ("base_url: https://*.a.example", "15: accounts.kling.base_url: has an invalid host; write a name such as api.example.com"),
        ("base_url: 'https://a,b.example'", "15: accounts.kling.base_url: has an invalid host; write a name such as api.example.com"),
        ("base_url: 'https://a%20b.example'", "15: accounts.kling.base_url: has an invalid host; write a name such as api.example.com"),
        ("base_url: http://[::1", "15: accounts.kling.base_url: is not a URL"),
        ("base_url: http://a.example:70000", "15: accounts.kling.base_url: has a port that is not between 1 and 65535"),
        ("base_url: http://a.example:x", "15: accounts.kling.base_url: has a port that is not between 1 and 65535"),
        ("base_url: http://a.example:0", "15: accounts.kling.base_url: has a port that is not between 1 and 65535"),
        ('base_url: ""', "15: accounts.kling.base_url: is empty"),
        ('action: ""', "13: accounts.kling.action: is empty"),
        ('action: "a\\tb"', "13: accounts.kling.action: contains the control character U+0009"),
        ("access_key: x", "5: accounts.kling.access_key: cannot be combined with api_key; remove one of them"),
        ("secret_key: x", "5: accounts.kling.secret_key: cannot be combined with api_key; remove one of them"),
        ("origins: [https://a/b]", "15: accounts.kling.origins[0]: is not an origin; write https://host or https://*.host, without a path"),
        ("origins: [x]", "15: accounts.kling.origins[0]: "),
        ("limits: {rate: 0}", "20: accounts.kling.limits.rate: must be more than 0"),
        ("limits: {rate: .nan}", '20: accounts.kling.limits.rate: ".nan" is not a number'),
        ("limits: {rate: 1e300}", "20: accounts.kling.limits.rate: must be at most 10000"),
        ("limits: {burst: 1.5}", '21: accounts.kling.limits.burst: "1.5" is not a whole number'),
        ("limits: {concurrency: 1001}", "27: accounts.kling.limits.concurrency: must be at most 1000"),
        ("headers: {X Y: z}", '15: accounts.kling.headers."X Y": "X Y" is not a valid header name'),
        ("headers: {Content-Length: 1}", "15: accounts.kling.headers.Content-Length: the header Content-Length is set by genbridge itself; remove it"),
        ("headers: {X-A: a, x-a: b}", "14: accounts.kling.headers: contains x-a twice"),
        ('headers: {X-Y: "a\\nb"}', "20: accounts.kling.headers.X-Y: contains the control character U+000A"),
        ("headers: {X-Y: é}", "20: accounts.kling.headers.X-Y: must be printable ASCII without spaces at either end"),
        ("headers: {X-Y: ~}", "20: accounts.kling.headers.X-Y: is empty"),
        ("proxy: socks5://h:1", "12: accounts.kling.proxy: is not a proxy; write http://host:port, http://user:password@host:port or none"),
        ('api_key: ""', "14: accounts.kling.api_key: is empty"),
        ("api_key: ${KLING-KEY}", '14: accounts.kling.api_key: "${" does not start a reference; write ${NAME} or ${NAME:-default}'),
        ("api_key: credential:a/b", "14: accounts.kling.api_key: a credential is written credential:NAME, the name without slashes"),
        ('api_key: "file:"', "14: accounts.kling.api_key: a secret's file is written file:/path"),
        ("provider: klng", '15: accounts.kling.provider: unknown provider "klng"; did you mean "kling"?'),
    ],
)  # fmt: skip
def test_a_mistake_in_an_account_is_reported(tmp_path: Path, line: str, expected: str) -> None:
    key = line.partition(":")[0]
    kept = [entry for entry in LEAST.splitlines()[2:5] if not entry.strip().startswith(f"{key}:")]
    text = "\n".join(
        ["accounts:", "  kling:", *kept, f"    {line}", "endpoints: {a: {type: apprise, urls: ['json://x']}}"]
    )
    (found,) = problems(tmp_path, text)
    assert found.startswith(f"{HERE}:{len(kept) + 3}:{expected}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{type: webhook}", "3: endpoints.x.url: is missing"),
        ("{url: http://a}", "3: endpoints.x.type: is missing"),
        ("{typ: webhook, url: http://a}", '7: endpoints.x.typ: unknown key "typ"; did you mean "type"?'),
        ("{type: ~, url: http://a}", "13: endpoints.x.type: is empty"),
        ("{type: webhok}", '13: endpoints.x.type: unknown type "webhok"; did you mean "webhook"?'),
        ("https://a.example", "6: endpoints.x: must be a mapping of keys"),
        ("", "5: endpoints.x: is empty"),
        ("{type: webhook, url: hooks.example.com}", "27: endpoints.x.url: has no scheme; write https://..."),
        ("{type: webhook, url: file:/x}", '27: endpoints.x.url: scheme "file" is not supported; use http or https'),
        ("{type: webhook, url: 'credential:x'}", "27: endpoints.x.url: has no scheme; write https://..."),
        ("{type: webhook, url: http://u@a}", "27: endpoints.x.url: contains user info (user:password@); remove it; keys belong in api_key or headers"),
        ("{type: webhook, url: http://a/ä}", "27: endpoints.x.url: contains characters that a URL cannot have; percent-encode them"),
        ("{type: webhook, url: 'http://a/?q=ä'}", "27: endpoints.x.url: contains characters that a URL cannot have; percent-encode them"),
        ("{type: webhook, url: http://a, format: standart}", '45: endpoints.x.format: unknown format "standart"; did you mean "standard"?'),
        ("{type: webhook, url: http://a, format: Lark}", '45: endpoints.x.format: unknown format "Lark"; did you mean "feishu"?'),
        ("{type: webhook, url: http://a, format: wechat}", '45: endpoints.x.format: unknown format "wechat"; did you mean "wecom"?'),
        ("{type: webhook, url: http://a, format: xml}", '45: endpoints.x.format: unknown format "xml"; there are: dingtalk, discord, documented, feishu, kling'),
        ("{type: webhook, url: http://a, body: x}", "43: endpoints.x.body: is only for format template"),
        ("{type: webhook, url: http://a, title: x}", "44: endpoints.x.title: is only for format feishu, dingtalk, wecom"),
        ("{type: webhook, url: http://a, format: slack, chat_id: 5}", "61: endpoints.x.chat_id: is only for format telegram"),
        ("{type: webhook, url: http://a, format: telegram}", "6: endpoints.x.chat_id: is missing; write the number of the chat"),
        ("{type: webhook, url: http://a, format: telegram, chat_id: a b}", "64: endpoints.x.chat_id: is not a chat; write its number"),
        ("{type: webhook, url: http://a, format: telegram, chat_id: -1, thread_id: x}", "79: endpoints.x.thread_id: is not the number of a topic"),
        ("{type: webhook, url: http://a, format: wecom, secret: x}", "60: endpoints.x.secret: format wecom is not signed: its url is the secret"),
        ("{type: webhook, url: http://a, format: feishu, secret: [x, y]}", "61: endpoints.x.secret: format feishu signs with one secret"),
        ("{type: webhook, url: http://a, format: feishu, concurrency: 2}", "66: endpoints.x.concurrency: is only for format documented"),
        ("{type: webhook, url: http://a, marks: false}", "44: endpoints.x.marks: is only for format feishu, dingtalk"),
        ("{type: webhook, url: http://a, format: slack, marks: maybe}", "59: endpoints.x.marks: must be true or false"),
        ("{type: apprise, urls: ['json://x'], attach: picture}", '50: endpoints.x.attach: unknown attach "picture"; there are: file, link, preview'),
        ("{type: apprise, urls: ['json://x'], language: de}", '52: endpoints.x.language: unknown language "de"; there are: en, zh'),
        ("{type: apprise, urls: ['json://x'], timezone: Mars/Base}", '52: endpoints.x.timezone: "Mars/Base" is not a time zone this machine knows; write local, UTC'),
        ("{type: apprise, urls: ['json://x'], attach_max: 80MB}", "54: endpoints.x.attach_max: must be at most 50MB"),
        ("{type: webhook, url: http://a, attach_max: 1MB}", "49: endpoints.x.attach_max: is only for format feishu, dingtalk, wecom, slack, discord, telegram"),
        ("{type: webhook, url: http://a, format: kling, template: cloudevents}", "62: endpoints.x.template: is only for format template"),
        ("{type: webhook, url: http://a, format: template}", "6: endpoints.x.body: is missing; write it, or set template: cloudevents or midjourney"),
        ("{type: webhook, url: http://a, format: template, template: cloudevent}", '65: endpoints.x.template: unknown template "cloudevent"; did you mean "cloudevents"?'),
        ("{type: webhook, url: http://a, format: template, template: midjourney, body: x}", "83: endpoints.x.body: cannot be combined with template; remove one of them"),
        ("{type: webhook, url: http://a, format: template, template: cloudevents, headers: {content-type: a/b}}", "88: endpoints.x.headers.content-type: the header content-type is set by genbridge itself; remove it"),
        ("{type: webhook, url: http://a, headers: {x-webhook-signature: a}}", "47: endpoints.x.headers.x-webhook-signature: the header x-webhook-signature is set by genbridge itself; remove it"),
        ("{type: webhook, url: http://a, format: newapi, secret: [a, b]}", "61: endpoints.x.secret: format newapi signs with one secret; remove the others"),
        ('{type: webhook, url: http://a, secret: "a\\nb", format: newapi}', "45: endpoints.x.secret: contains the control character U+000A"),
        ("{type: webhook, url: http://a, secret: foo, format: standart}", '58: endpoints.x.format: unknown format "standart"'),
        ("{type: webhook, url: http://a, urls: [x]}", '37: endpoints.x.urls: unknown key "urls"; did you mean "url"?'),
        ("{type: webhook, url: http://a, secret: foo}", "45: endpoints.x.secret: does not start with whsec_; write whsec_ and the base64 of 24 to 64 random bytes"),
        (f"{{type: webhook, url: http://a, secret: [{SIGNING}, whsec_%]}}", "98: endpoints.x.secret[1]: is not base64 after whsec_; write whsec_ and"),
        ("{type: webhook, url: http://a, secret: whsec_YWJj}", "45: endpoints.x.secret: holds 3 bytes; write whsec_ and the base64 of 24 to 64 random bytes"),
        ("{type: webhook, url: http://a, headers: {webhook-id: a}}", "47: endpoints.x.headers.webhook-id: the header webhook-id is set by genbridge itself; remove it"),
        ("{type: webhook, url: http://a, api_key: Bearer a}", '46: endpoints.x.api_key: begins with "Bearer"; write only the key'),
        ("{type: webhook, url: http://a, api_key: a, headers: {authorization: b}}", "58: endpoints.x.headers: contains Authorization, but api_key is set; remove one of them"),
        ("{type: webhook, url: http://a, concurrency: 0}", "50: endpoints.x.concurrency: must be at least 1"),
        ("{type: apprise}", "3: endpoints.x.urls: is missing"),
        ("{type: apprise, urls: []}", "28: endpoints.x.urls: is empty; name at least one"),
        ("{type: apprise, urls: 'json://x'}", "28: endpoints.x.urls: must be a list"),
        ("{type: apprise, urls: [json]}", "29: endpoints.x.urls[0]: is not a service URL; write for example tgram://TOKEN/CHAT"),
        ("{type: apprise, urls: ['json://x', 'json://x']}", "28: endpoints.x.urls: number 2 is the same as number 1"),
        ("{type: apprise, urls: ['json://x?a=b&Retry=3']}", '29: endpoints.x.urls[0]: remove "Retry=": genbridge retries by itself, see delivery.retries'),
        ("{type: apprise, urls: ['json://${X}?wait=']}", '29: endpoints.x.urls[0]: remove "wait=": genbridge retries by itself'),
        ("{type: apprise, urls: ['json://x'], concurrency: 2}", '42: endpoints.x.concurrency: unknown key "concurrency"; there are: attach, attach_max, body, ca_file, language'),
        ('{type: apprise, urls: [\'json://x\'], title: "a\\eb"}', "49: endpoints.x.title: contains the control character U+001B"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_endpoint_is_reported(tmp_path: Path, line: str, expected: str) -> None:
    (found,) = problems(tmp_path, "\n".join([*LEAST.splitlines()[:6], f"  x: {line}"]))
    assert found.startswith(f"{HERE}:7:{expected}")


@pytest.mark.parametrize("name", ["-x", "a b", "a/b", "x" * 65, "é", '""'])
def test_an_invalid_name_is_reported(tmp_path: Path, name: str) -> None:
    (found,) = problems(tmp_path, f"{LEAST}  {name}: {{type: webhook, url: http://a}}")
    assert found.startswith(f"{HERE}:10:3: endpoints.")
    assert "is not a name; use 1 to 64 letters, digits, _ . or -, starting with a letter or digit" in found


def test_names_that_look_like_numbers_or_booleans_stay_names(tmp_path: Path) -> None:
    text = LEAST.replace("kling:\n", "0123:\n").replace("automation:", "no:")
    found = loaded(tmp_path, text + "routes: [{accounts: [0123], endpoints: [no]}]").settings
    assert list(found.accounts) == ["0123"]
    assert list(found.endpoints) == ["no"]


def test_all_mistakes_are_reported_together_sorted_by_location(tmp_path: Path) -> None:
    text = LEAST.replace("https://api", "ftp://api").replace("type: webhook", "type: webhook\n    frmat: kling")
    found = problems(tmp_path, text + "routes: [{endpoints: [nobody], topics: []}]\npollng: {}\n")
    assert [line.split(": ")[0] for line in found] == [
        f"{HERE}:{place}" for place in ("4:15", "9:5", "11:23", "11:40", "12:1")
    ]


def test_an_invalid_type_does_not_hide_unknown_keys(tmp_path: Path) -> None:
    found = problems(tmp_path, LEAST.replace("type: webhook", "type: webhok\n    secrt: x"))
    assert [line.split(": ", 1)[1] for line in found] == [
        'endpoints.automation.type: unknown type "webhok"; did you mean "webhook"?',
        'endpoints.automation.secrt: unknown key "secrt"; did you mean "secret"?',
    ]


def test_a_repeated_key_does_not_hide_other_mistakes(tmp_path: Path) -> None:
    text = LEAST + "log: {level: loud}\nlog: {}\nlog: {}\n"
    again = [f'{HERE}:{line}:1: the key "log" is here twice; first in line 10' for line in (11, 12)]
    loud = f'{HERE}:10:14: log.level: unknown level "loud"; there are: debug, error, info, warning'
    assert problems(tmp_path, text) == [loud, *again]
    [*first, last] = problems(tmp_path, text + "]")
    assert first == again
    assert last.startswith(f"{HERE}:13:1: not YAML: ")


def test_a_missing_section_is_reported_at_the_top(tmp_path: Path) -> None:
    assert problems(tmp_path, "log: {level: info}") == [f"{HERE}:1:1: accounts: is missing"]
    assert problems(tmp_path, "log: {}\naccounts: {}") == [f"{HERE}:2:11: accounts: is empty; name at least one"]
    assert problems(tmp_path, "log: {}\naccounts:\n  k: {}")[0] == f"{HERE}:3:3: accounts.k.api_key: is missing"


def test_sections_without_values_have_their_defaults(tmp_path: Path) -> None:
    empty = "sources:\nroutes:\npolling:\n  not_found:\n  timeout:\ndelivery:\nretention: ~\nlog: null\nstore:\n"
    assert loaded(tmp_path, LEAST + empty).settings == loaded(tmp_path, LEAST).settings


def test_a_missing_base_url_is_reported_with_the_other_mistakes(tmp_path: Path) -> None:
    text = "log: {level: loud}\naccounts:\n  a: {provider: newapi, api_key: k12345}\n  b: {provider: fal, api_key: k12345}\n"
    places = [line.split(": ")[1] for line in problems(tmp_path, text)]
    assert places == ["log.level", "accounts.a.base_url"]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("    api_key", "    api_kye", ['5:5: accounts.kling.api_kye: unknown key "api_kye"; did you mean "api_key"?']),
        (
            "    base_url",
            "    base_ulr",
            ['4:5: accounts.kling.base_ulr: unknown key "base_ulr"; did you mean "base_url"?'],
        ),
        ("accounts:", "acounts:", ['1:1: acounts: unknown key "acounts"; did you mean "accounts"?']),
        ("endpoints:\n", "endpoint:\n", ['6:1: endpoint: unknown key "endpoint"; did you mean "endpoints"?']),
        (
            "    format",
            "    formta",
            ['10:5: endpoints.automation.formta: unknown key "formta"; did you mean "format"?'],
        ),
        (
            "endpoints:\n  automation:\n    type: webhook",
            "endpoint:\n  automation:\n    type: webhok",
            [
                '6:1: endpoint: unknown key "endpoint"; did you mean "endpoints"?',
                '8:11: endpoints.automation.type: unknown type "webhok"; did you mean "webhook"?',
            ],
        ),
        ("    provider: kling", '    provider: "a b"', [f'3:15: accounts.kling.provider: "a b" {NOT_A_NAME}']),
        ("accounts: [kling]", 'accounts: ["a b"]', [f'13:16: routes[0].accounts[0]: "a b" {NOT_A_NAME}']),
    ],
)
def test_one_wrong_key_or_name_is_one_mistake(tmp_path: Path, old: str, new: str, lines: list[str]) -> None:
    routed = LEAST + "    format: feishu\n    title: x\nroutes:\n  - accounts: [kling]\n    endpoints: [automation]\n"
    assert old in routed
    assert problems(tmp_path, routed.replace(old, new, 1)) == [f"{HERE}:{line}" for line in lines]


def test_routes_are_not_blamed_for_accounts_that_are_no_mapping(tmp_path: Path) -> None:
    text = "accounts: 3\nendpoints: true\nroutes: [{accounts: [a], endpoints: [b]}]"
    expected = ["1:11: accounts: must be a mapping of keys", "2:12: endpoints: must be a mapping of keys"]
    assert problems(tmp_path, text) == [f"{HERE}:{line}" for line in expected]


def test_the_time_for_mistakes_grows_with_their_number_only() -> None:
    class Ids(BaseModel):
        ids: list[str]

    tree = {"ids": [0] * 10_000}
    with pytest.raises(ValidationError) as caught:
        Ids.model_validate(tree)
    assert len(within_cpu_s(2.0, lambda: list(mistakes(caught.value, Ids, tree)))) == 10_000
