from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

import pytest
import trustme
from pydantic import ValidationError

from bridge.config import load, settings_file
from bridge.config.load import log_settings
from bridge.config.model import Limits, Polling, Settings
from bridge.config.postgres_url import PostgresUrl
from bridge.config.settings_file import find, named_store
from bridge.domain.event import Topic
from bridge.errors import ConfigError
from tests.config.settings_files import LEAST, loaded, problems, resolved, written


def test_minimal_settings_have_every_default(tmp_path: Path) -> None:
    found = loaded(tmp_path, LEAST)
    settings = found.settings
    assert found.warnings == ()
    assert found.path == tmp_path / "genbridge.yaml"
    assert settings.accounts["kling"].limits == Limits(rate=10.0, burst=20, concurrency=16)
    assert settings.polling == Polling(
        min_interval_s=2.0, max_interval_s=300.0, give_up_after_s=86_400.0, timeout_s=30.0
    )
    assert (settings.polling.not_found.answers, settings.polling.not_found.over_s) == (4, 180.0)
    assert settings.delivery.timeout_s == 20.0
    assert list(settings.delivery.retries_s) == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert settings.retention.model_dump() == {"ended_s": 2_592_000, "delivered_s": 604_800, "dead_s": 7_776_000}
    assert settings.log.model_dump() == {"level": "info", "format": "auto"}
    assert settings.routes is None


def test_values_are_read_as_the_contract_writes_them(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        LEAST
        + "routes: [{topics: [task_failed, endpoint_disabled], accounts: [kling], endpoints: [automation]}]\n"
        + "polling: {min_interval: 500ms, max_interval: 1h30m, timeout: 7, not_found: {answers: 1, over: 0}}\n"
        + "delivery: {retries: []}\nlog: {level: debug, format: json}\n",
    ).settings
    assert settings.routes
    assert settings.routes[0].topics == (Topic.TASK_FAILED, Topic.ENDPOINT_DISABLED)
    assert (settings.polling.min_interval_s, settings.polling.max_interval_s) == (0.5, 5400.0)
    assert (settings.polling.timeout_s, settings.polling.not_found.over_s) == (7.0, 0.0)
    assert settings.delivery.retries_s == ()
    assert (settings.log.level, settings.log.format) == ("debug", "json")


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = loaded(tmp_path, LEAST).settings
    with pytest.raises(ValidationError, match="frozen"):
        settings.polling.timeout_s = 1.0  # type: ignore[misc] # that is the point
    with pytest.raises(ValidationError):
        Settings(accounts={})


def test_no_endpoints_are_a_warning(tmp_path: Path) -> None:
    found = loaded(tmp_path, LEAST.partition("endpoints:")[0])
    assert found.warnings == (f"{found.path}: no endpoints are set: results are stored, but nobody is notified",)


def test_an_empty_list_of_routes_is_a_warning(tmp_path: Path) -> None:
    assert loaded(tmp_path, LEAST + "routes: null").warnings == ()
    [warning] = loaded(tmp_path, LEAST + "routes: []").warnings
    assert "routes is an empty list, so nobody is notified" in warning


def test_a_host_may_be_a_bare_ipv6_address(tmp_path: Path) -> None:
    http = loaded(tmp_path, LEAST + "http: {hosts: ['::1', '[fd00::2]']}").settings.http
    assert http is not None
    assert http.hosts == ("::1", "fd00::2")


def test_a_secret_written_as_shells_write_variables_is_a_warning(tmp_path: Path) -> None:
    found = loaded(tmp_path, LEAST.replace("api_key: ", "api_key: $KLING_API_KEY #", 1))
    assert [str(found.path), "written ${NAME}"] == [found.warnings[0][: len(str(found.path))], found.warnings[0][-15:]]
    assert "KLING" not in found.warnings[0]


def test_settings_are_looked_for_in_the_order_of_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, by_env, user = tmp_path / "named.yaml", tmp_path / "env.yaml", tmp_path / "xdg/genbridge/genbridge.yaml"
    here = tmp_path / "here"
    here.mkdir()
    user.parent.mkdir(parents=True)
    for path in (named, by_env, user, here / "genbridge.yaml"):
        path.write_text(LEAST)
    monkeypatch.chdir(here)
    env = {"GENBRIDGE_CONFIG": str(by_env), "XDG_CONFIG_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path)}
    assert find(str(named), env) == named
    assert find(None, env) == by_env
    env.pop("GENBRIDGE_CONFIG")
    assert find(None, env) == Path("genbridge.yaml")
    assert load.load(Path("genbridge.yaml"), {}).path == here / "genbridge.yaml"
    (here / "genbridge.yaml").unlink()
    assert find(None, env) == user
    env.pop("XDG_CONFIG_HOME")
    (tmp_path / ".config").symlink_to(tmp_path / "xdg")
    assert find(None, env) == tmp_path / ".config/genbridge/genbridge.yaml"


def test_a_folder_that_we_may_not_enter_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So `sudo -u genbridge genbridge status` in root's home finds the settings of the service."""
    if os.geteuid() != 0:
        pytest.skip("acting as another user needs root (run the tests as root)")
    with tempfile.TemporaryDirectory() as name:
        closed, system = Path(name) / "root", Path(name) / "etc/genbridge.yaml"
        for folder, mode in ((closed, 0o700), (system.parent, 0o755), (Path(name), 0o755)):
            folder.mkdir(exist_ok=True)
            folder.chmod(mode)
        (closed / "genbridge.yaml").write_text(LEAST)
        system.write_text(LEAST)
        monkeypatch.setattr(settings_file, "SYSTEM_SETTINGS", system)
        monkeypatch.chdir(closed)
        assert find(None, {"HOME": str(closed)}) == Path("genbridge.yaml")
        system.chmod(0o600)
        os.seteuid(65534)
        try:
            assert find(None, {"HOME": str(closed)}) == system
            with pytest.raises(
                ConfigError, match=r"cannot be read: Permission denied; only root and the group genbridge may "
            ):
                load.load(system, {})
            monkeypatch.setattr(settings_file, "SYSTEM_SETTINGS", Path(name) / "missing.yaml")
            with pytest.raises(ConfigError, match="write a file with `genbridge init`"):
                find(None, {"HOME": str(closed)})
        finally:
            os.seteuid(0)


def test_missing_settings_list_the_paths_that_were_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if settings_file.SYSTEM_SETTINGS.exists():
        pytest.skip("this machine has settings of its own (try where /etc/genbridge is absent)")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        find(None, {"HOME": str(tmp_path)})
    looked = f"./genbridge.yaml, {tmp_path}/.config/genbridge/genbridge.yaml, /etc/genbridge/genbridge.yaml"
    (problem,) = caught.value.problems
    assert problem.startswith(f"no settings found: looked for {looked}; ")
    assert caught.value.exit_code == 78
    (tmp_path / "genbridge.yml").write_text(LEAST)
    with pytest.raises(ConfigError, match=r"; ./genbridge.yml is not looked for: rename it to genbridge.yaml$"):
        find(None, {"HOME": str(tmp_path)})


@pytest.mark.parametrize(
    ("explicit", "env", "why"),
    [("none.yaml", {}, "--config"), (None, {"GENBRIDGE_CONFIG": "none.yaml"}, "GENBRIDGE_CONFIG")],
)
def test_a_named_file_must_exist(explicit: str | None, env: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError, match=f"^none.yaml: there is no such file \\(named by {why}\\)$"):
        find(explicit, env)


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{tmp_path}: cannot be read: Is a directory$"):
        load.load(tmp_path, {})
    with pytest.raises(ConfigError, match=r": there is no such file$"):
        load.load(tmp_path / "none", {})
    with pytest.raises(ConfigError, match=r": cannot be read: .*embedded null"):
        load.load(Path("a\0b"), {})
    if os.geteuid() != 0:
        path = written(tmp_path, LEAST)
        path.chmod(0)
        with pytest.raises(ConfigError, match=r": cannot be read: Permission denied$"):
            load.load(path, {})


def test_the_log_follows_the_environment_first(tmp_path: Path) -> None:
    found = loaded(tmp_path, LEAST + "log: {level: warning}")
    assert log_settings(found, {}).level == "warning"
    chosen = log_settings(found, {"GENBRIDGE_LOG_LEVEL": "DEBUG", "GENBRIDGE_LOG_FORMAT": "json"})
    assert (chosen.level, chosen.format) == ("debug", "json")
    assert log_settings(found, {"GENBRIDGE_LOG_LEVEL": ""}).level == "warning"
    assert log_settings(found, {"GENBRIDGE_LOG_LEVEL": "debug"}, {"level": "error"}).level == "error"
    with pytest.raises(ConfigError) as caught:
        load.load(found.path, {"GENBRIDGE_LOG_LEVEL": "debg", "GENBRIDGE_LOG_FORMAT": "x"})
    assert caught.value.problems == (
        'GENBRIDGE_LOG_LEVEL: unknown level "debg"; did you mean "debug"?',
        'GENBRIDGE_LOG_FORMAT: unknown format "x"; there are: auto, console, json',
    )


def test_the_store_is_where_the_contract_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = {"HOME": "/home/me"}
    plain, named = loaded(tmp_path, LEAST), loaded(tmp_path, "store: data/${WHO:-me}.db\n" + LEAST)
    assert named_store(plain, home) is None
    assert named_store(named, home) == tmp_path / "data/me.db"
    assert named_store(named, {"WHO": "you"}) == tmp_path / "data/you.db"
    monkeypatch.chdir(tmp_path / "..")
    assert named_store(named, {"GENBRIDGE_STORE": "x.db"}) == Path.cwd() / "x.db"
    assert named_store(named, {"GENBRIDGE_STORE": "/x.db"}) == Path("/x.db")
    absolute = loaded(tmp_path, "store: /var/x.db\n" + LEAST)
    assert named_store(absolute, home) == Path("/var/x.db")


def test_a_store_may_be_in_postgresql(tmp_path: Path) -> None:
    named = loaded(tmp_path, 'store: "postgresql://me:${PW}@a,b/db?target_session_attrs=read-write"\n' + LEAST)
    place = named_store(named, {"PW": "sesame-open"})
    assert isinstance(place, PostgresUrl)
    assert place.reveal() == "postgresql://me:sesame-open@a,b/db?target_session_attrs=read-write"
    assert str(place) == "postgresql://me:***@a,b/db?target_session_attrs=read-write"
    with pytest.raises(ConfigError, match=r"genbridge.yaml:1:8: store: not set in the environment: PW$"):
        named_store(named, {})
    given = named_store(named, {"GENBRIDGE_STORE": "postgres:///?service=gen"})
    assert (str(given), given) == ("postgresql:///?service=gen", PostgresUrl("postgres:///?service=gen"))


def test_an_invalid_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^GENBRIDGE_STORE: a store in PostgreSQL is written postgresql://USER@"):
        named_store(loaded(tmp_path, LEAST), {"GENBRIDGE_STORE": "postgresql:x"})
    with pytest.raises(ConfigError, match=r"genbridge.yaml:1:8: store: not set in the environment: NONE$"):
        named_store(loaded(tmp_path, "store: ${NONE}\n" + LEAST), {})


def test_relative_paths_are_relative_to_the_settings(tmp_path: Path) -> None:
    found = loaded(tmp_path, LEAST)
    assert found.under("queue/") == tmp_path / "queue"
    assert found.under("/queue") == Path("/queue")
    assert found.under("~/queue") == Path("~/queue").expanduser()
    with pytest.raises(ConfigError, match="there is no home folder"):
        found.under("~nobody-has-this-name/queue")


def test_a_ca_file_must_contain_certificates_once_it_is_needed(tmp_path: Path) -> None:
    text = LEAST + "    ca_file: ${DIR:-ca.pem}"
    loaded(tmp_path, text)
    env = {"KLING_API_KEY": "key"}
    where = "genbridge.yaml:10:14: endpoints.automation.ca_file"
    assert problems(tmp_path, text, env=env) == [f"{where}: cannot be read: No such file or directory"]
    (tmp_path / "ca.pem").write_text("no certificate")
    assert problems(tmp_path, text, env=env) == [f"{where}: contains no certificates; use a PEM file"]
    os.mkfifo(tmp_path / "pipe")
    assert problems(tmp_path, text, env=env | {"DIR": "pipe"}) == [f"{where}: is not a regular file; use a PEM file"]
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert resolved(tmp_path, text).settings.endpoints["automation"].model_dump()["ca_file"] == str(tmp_path / "ca.pem")


def test_settings_in_a_pipe_are_read_if_a_program_writes_to_it(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="pipe:1:1: the settings are empty"):
        load.load(path, {})
    ours = os.open(path, os.O_RDWR)  # keeps what is written in the pipe
    os.write(ours, LEAST.encode())
    closing = threading.Timer(0.2, os.close, (ours,))
    closing.start()
    assert load.load(path, {}).accounts.keys() == {"kling"}
    closing.join()


def test_loading_again_gives_equal_settings_unless_something_changed(tmp_path: Path) -> None:
    assert resolved(tmp_path, LEAST).settings == resolved(tmp_path, "# a comment\n" + LEAST).settings
    assert resolved(tmp_path, LEAST).settings != resolved(tmp_path, LEAST, {"KLING_API_KEY": "other"}).settings
    assert resolved(tmp_path, LEAST).settings != loaded(tmp_path, LEAST + "polling: {timeout: 29}").settings


def test_accounts_may_share_keys_by_a_merge_key(tmp_path: Path) -> None:
    text = """\
accounts:
  first: &base
    provider: kling
    base_url: https://api.example.com
    api_key: sesame-open
    limits: {rate: 3}
  second:
    <<: *base
    base_url: https://other.example.com
"""
    accounts = loaded(tmp_path, text).settings.accounts
    assert accounts["second"].limits == accounts["first"].limits
    assert accounts["second"].base_url == "https://other.example.com"


def test_a_merged_mistake_is_reported_at_its_own_line(tmp_path: Path) -> None:
    text = """\
accounts:
  first: &base
    provider: kling
    base_url: https://api.example.com
    api_kye: sesame-open
  second:
    <<: *base
    labels: x
"""
    found = problems(tmp_path, text)
    assert any(line.startswith("genbridge.yaml:5:5: accounts.first.api_kye: ") for line in found), found
    assert any(line.startswith("genbridge.yaml:5:5: accounts.second.api_kye: ") for line in found), found
    assert any(line.startswith("genbridge.yaml:8:5: accounts.second.labels: ") for line in found), found
