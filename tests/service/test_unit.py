"""The unit file, checked with systemd's own tools."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "genbridge.service"
EXPOSURE = 1.2


def settings() -> list[tuple[str, str]]:
    lines = [line.partition("=") for line in UNIT.read_text().splitlines() if not line.startswith(("#", "["))]
    return [(name, value) for name, sign, value in lines if sign]


def value(name: str) -> str:
    (found,) = [value for other, value in settings() if other == name]
    return found


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("the unit was not judged: no systemd-analyze (install systemd)")
    return subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory with the units of systemd, our unit, and the program that our unit starts."""
    own = Path("/usr/lib/systemd/system")
    if not own.is_dir():
        pytest.skip("the unit was not verified: no units of systemd's own (install systemd)")
    shutil.copytree(own, tmp_path / "usr/lib/systemd/system", symlinks=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    shutil.copy(UNIT, tmp_path / "etc/systemd/system")
    for setting in ("ExecStart", "ExecReload"):
        program = tmp_path / value(setting).split()[0].lstrip("/")
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    return tmp_path


def test_the_service_starts_after_the_clock_is_set() -> None:
    assert "time-sync.target" in value("After").split()


@pytest.mark.real
def test_the_exposure_of_the_unit_is_at_most_1_2() -> None:
    judged = analyze("security", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", str(UNIT))
    assert judged.returncode == 0, judged.stdout
    (figure,) = re.findall(r"Overall exposure level for genbridge\.service: ([\d.]+)", judged.stdout)
    assert float(figure) <= EXPOSURE


@pytest.mark.real
def test_verify_prints_nothing_if_the_package_is_installed(root: Path) -> None:
    verified = analyze("verify", "--man=no", f"--root={root}", "genbridge.service")
    assert (verified.stdout, verified.stderr, verified.returncode) == ("", "", 0)


@pytest.mark.real
def test_verify_reports_a_missing_package(root: Path) -> None:
    (root / value("ExecStart").split()[0].lstrip("/")).unlink()
    verified = analyze("verify", "--man=no", f"--root={root}", "genbridge.service")
    assert "is not executable" in verified.stderr


def test_the_unit_uses_the_notify_protocol_of_the_daemon() -> None:
    assert value("Type") == "notify"
    assert value("ExecReload") == "/bin/kill -HUP $MAINPID"
    assert value("WatchdogSec") == "60s"


def test_a_start_may_take_as_long_as_an_upgrade() -> None:
    assert value("TimeoutStartSec") == "1h"


def test_wrong_settings_cause_no_restart_loop() -> None:
    assert value("Restart") == "on-failure"
    assert "78" in value("RestartPreventExitStatus").split()


def test_the_queue_folder_is_the_one_that_tmpfiles_makes() -> None:
    folders = (ROOT / "systemd" / "genbridge.tmpfiles.conf").read_text()
    assert re.search(r"^d /var/spool/genbridge +2770 genbridge +genbridge ", folders, re.MULTILINE)
    assert value("ReadWritePaths") == "-/var/spool/genbridge"


def test_the_service_runs_as_the_user_of_sysusers() -> None:
    users = (ROOT / "systemd" / "genbridge.sysusers.conf").read_text()
    assert re.search(r"^u genbridge ", users, re.MULTILINE)
    assert (value("User"), value("Group"), value("StateDirectoryMode")) == ("genbridge", "genbridge", "0750")


def test_the_template_for_several_daemons_differs_only_in_names() -> None:
    template = UNIT.with_name("genbridge@.service").read_text()
    alike = template.replace("/etc/genbridge/%i.yaml", "/etc/genbridge/genbridge.yaml").replace(
        "genbridge-%i", "genbridge"
    )
    alike = alike.replace("Description=genbridge %i:", "Description=genbridge:")
    assert _settings_of(alike) == _settings_of(UNIT.read_text())


def _settings_of(unit: str) -> list[str]:
    return [line for line in unit.splitlines() if not line.startswith("#")]
