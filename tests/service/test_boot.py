"""The unit in a booted systemd: it is installed as the README says, started, reloaded, frozen and stopped."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import bridge
from bridge.config.load import load
from tests.service.booted import Booted, boot, skip_unless_possible, until

ROOT = Path(__file__).parents[2]
SOURCE = "usr/src/genbridge"
SETTINGS_FILE = "/etc/genbridge/genbridge.yaml"

SETTINGS = """
accounts:
  kling:
    {provider: kling, base_url: "http://127.0.0.1:9", api_key: "credential:kling_api_key", action: videos/text2video}
sources: {queue: /var/spool/genbridge}
endpoints:
  automation: {type: webhook, url: "http://127.0.0.1:9/hook", secret: "credential:hook_secret"}
"""

FASTER = "[Service]\nWatchdogSec=5s\nRestartSec=1s\n"


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    skip_unless_possible()
    stage, place = tmp_path_factory.mktemp("stage"), tmp_path_factory.mktemp("container") / "place"
    place.mkdir()
    stage_package(stage)
    stage_checkout(stage / SOURCE)
    with boot(stage, place) as up:
        yield up


def stage_package(stage: Path) -> None:
    """A virtual environment at /opt/genbridge. It is made of the packages that are installed here, because there is no
    network inside."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = Path("/usr/bin") / version
    if not interpreter.exists():
        pytest.skip(f"systemd was not booted: the service needs the system's interpreter (install {version})")
    home = stage / "opt/genbridge"
    packages = home / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (home / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    (home / "bin").mkdir()
    (home / "bin/python").symlink_to(interpreter)
    command = home / "bin/genbridge"
    command.write_text("#!/opt/genbridge/bin/python\nimport sys\nfrom bridge.cli import main\nsys.exit(main())\n")
    command.chmod(0o755)
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(bridge.__file__).parent, packages / "bridge", ignore=skipped)
    for name in needed():
        for file in importlib.metadata.files(name) or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), target)


def needed() -> set[str]:
    """The names of every distribution that genbridge needs to run, as installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: set[str] = set()
    open_ends: list[str] = list(project["dependencies"])
    while open_ends:
        wanted = Requirement(open_ends.pop())
        if wanted.name in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        found.add(wanted.name)
        open_ends += importlib.metadata.requires(wanted.name) or []
    return found


def stage_checkout(source: Path) -> None:
    for needed_file in ("docs/man.py", "docs/commands.md", "docs/configuration.md", "bridge/__init__.py"):
        (source / needed_file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / needed_file, source / needed_file)
    shutil.copytree(ROOT / "systemd", source / "systemd")
    (source / "genbridge.yaml").write_text(SETTINGS)


def install_line() -> str:
    """The README's command for the service. The program is already installed, because there is no network."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (line,) = {line for block in blocks for line in block.splitlines() if "sudo systemd/install " in f"{line} "} - {
        line for block in blocks for line in block.splitlines() if "--uninstall" in line
    }
    return f"cd /{SOURCE} && {line.partition('#')[0].strip().removeprefix('sudo ')} --keep-program"


def restarts(booted: Booted) -> int:
    return int(booted.unit("NRestarts"))


@pytest.mark.real
@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_service_starts_reloads_is_restarted_when_it_hangs_and_stops(booted: Booted) -> None:
    install(booted)
    assert booted.unit("StatusText") != ""
    verified = booted.run("systemd-analyze verify --man=no /etc/systemd/system/genbridge.service")
    assert (verified.stdout, verified.stderr, verified.returncode) == ("", "", 0)
    look_at_the_sandbox(booted)
    drop_a_task(booted)
    reload(booted)
    freeze(booted)
    stop(booted)
    uninstall(booted)


def install(booted: Booted) -> None:
    early = booted.run(install_line(), timeout_s=60)
    assert early.returncode == 1
    assert "credential" in early.stderr
    assert "the service was not started" in early.stderr
    assert booted.unit("ActiveState") == "inactive"
    keys = {"kling_api_key": "sk-1234", "hook_secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
    for name, key in keys.items():
        booted.must(f"umask 077; echo {key} > /etc/genbridge/credentials/{name}")
    booted.must(install_line(), timeout_s=60)
    assert booted.unit("ActiveState") == "active"
    begun, settings = booted.unit("ActiveEnterTimestamp"), booted.must("cat /etc/genbridge/genbridge.yaml")
    assert settings == SETTINGS
    booted.must("test -s /usr/local/share/man/man5/genbridge.yaml.5 && test -s /usr/local/share/man/man1/genbridge.1")
    booted.must("echo '# mine' >> /etc/genbridge/genbridge.yaml")
    booted.must(install_line(), timeout_s=60)
    assert "# mine" in booted.must("cat /etc/genbridge/genbridge.yaml")
    assert (booted.unit("ActiveState"), booted.unit("ActiveEnterTimestamp") != begun) == ("active", True)


def look_at_the_sandbox(booted: Booted) -> None:
    status = booted.must(f"cat /proc/{booted.unit('MainPID')}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert (fields["NoNewPrivs"], fields["Seccomp"], int(fields["CapBnd"], 16)) == ("1", "2", 0)
    booted.must(f"sed 's|queue: .*}}|queue: queue/}}|' {SETTINGS_FILE} > /etc/genbridge/relative.yaml")
    checked = booted.must(
        "CREDENTIALS_DIRECTORY=/etc/genbridge/credentials genbridge check -c /etc/genbridge/relative.yaml"
    )
    assert "warning sources.queue: as user genbridge: /etc/genbridge/queue does not exist" in checked
    owners = "stat -c '%U:%G %a' /var/lib/genbridge /var/spool/genbridge /etc/genbridge"
    assert booted.must(owners).split("\n")[:3] == [
        "genbridge:genbridge 750",
        "genbridge:genbridge 2770",
        "root:genbridge 750",
    ]


def drop_a_task(booted: Booted) -> None:
    member = "setpriv --reuid 4242 --regid genbridge --clear-groups"
    booted.must(f"umask 027; {member} sh -c 'echo a-task > /var/spool/genbridge/one.txt'")
    until("the file is taken", lambda: booted.run("test -e /var/spool/genbridge/one.txt").returncode == 1, timeout_s=20)
    assert booted.must("find /var/spool/genbridge/rejected -name '*.reason' -exec cat {} +") == ""
    for command in ("list --json", "show a-task", "explain a-task", "status", "deliveries", "check --help"):
        said = booted.must(f"{member} genbridge {command}")
        assert "a-task" in said or command in {"status", "deliveries", "check --help"}
    assert booted.must(f"{member} genbridge status --health").strip() == "healthy"
    assert booted.run(f"{member} genbridge wait a-task --timeout 1s").returncode == 75  # it was read; it still runs
    assert "run this as user genbridge (sudo -u genbridge ...)" in booted.run(f"{member} genbridge add b-task").stderr
    assert "b-task" in booted.must("setpriv --reuid genbridge --regid genbridge --init-groups genbridge add b-task")
    refused = booted.run("setpriv --reuid 4242 --regid 4242 --clear-groups genbridge list")
    assert "only root and the group genbridge may read it" in refused.stderr


def reload(booted: Booted) -> None:
    pid = booted.unit("MainPID")
    booted.must("systemctl reload genbridge")
    until("the reload is logged", lambda: "settings.reloaded" in booted.journal(), timeout_s=20)
    until("it is ready again", lambda: booted.unit("ActiveState") == "active", timeout_s=20)
    assert (booted.unit("MainPID"), restarts(booted)) == (pid, 0)


def freeze(booted: Booted) -> None:
    folder = "/etc/systemd/system/genbridge.service.d"
    booted.must(f"cat > {folder}/faster.conf <<END\n{FASTER}END")
    booted.must("systemctl daemon-reload && systemctl restart genbridge", timeout_s=40)
    pid = booted.unit("MainPID")
    alive_s = 7  # longer than the watchdog waits, so the pings arrive
    assert until("it outlives its watchdog", lambda: uptime(booted) > alive_s, timeout_s=20) > 0
    assert booted.unit("MainPID") == pid
    booted.must(f"kill -STOP {pid}")
    until("the watchdog strikes", lambda: restarts(booted) == 1, timeout_s=20)
    until("it is up again", lambda: booted.unit("ActiveState") == "active", timeout_s=20)
    assert booted.unit("MainPID") != pid
    assert "Watchdog timeout" in booted.journal()


def uptime(booted: Booted) -> float:
    now_s = float(Path("/proc/uptime").read_text().split()[0])
    return now_s - int(booted.unit("ActiveEnterTimestampMonotonic")) / 1e6


def stop(booted: Booted) -> None:
    booted.must("systemctl stop genbridge", timeout_s=30)
    ended = [booted.unit(name) for name in ("ActiveState", "Result", "ExecMainStatus")]
    assert ended == ["inactive", "success", "0"], booted.journal()


def uninstall(booted: Booted) -> None:
    said = booted.must(f"/{SOURCE}/systemd/install --uninstall", timeout_s=60)
    assert "Kept: /etc/genbridge" in said
    gone = [
        "/usr/local/share/man/man1/genbridge.1",
        "/etc/systemd/system/genbridge.service",
        "/opt/genbridge",
        "/usr/local/bin/genbridge",
    ]
    booted.must(" && ".join(f"test ! -e {path}" for path in gone))
    booted.must("test -e /etc/genbridge/genbridge.yaml && test -e /var/lib/genbridge/state.db")
    assert booted.unit("LoadState") == "not-found"
    booted.must(f"/{SOURCE}/systemd/install --uninstall", timeout_s=60)


def test_the_settings_example_of_the_service_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "genbridge.yaml"
    shutil.copy(ROOT / "systemd/genbridge.example.yaml", path)
    assert load(path, {}).settings.accounts["kling"].provider == "kling"


def test_the_install_script_says_what_it_would_do_without_doing_it() -> None:
    if os.geteuid() != 0 or shutil.which("systemd-sysusers") is None:
        pytest.skip("systemd/install was not tried: needs root and systemd (install systemd)")
    script = [str(ROOT / "systemd/install"), "--dry-run"]
    said = subprocess.run(script, capture_output=True, text=True, timeout=60, check=True).stdout
    assert said.startswith("==> Install the program with /usr/bin/python3")
    assert said.rstrip().endswith("Start the service if the settings are valid")
    wrong = subprocess.run([*script, "--python", "/usr/bin/nosuch"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr.startswith("systemd/install: no /usr/bin/nosuch")) == (1, True)
