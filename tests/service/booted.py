"""A real systemd in a container of namespaces. Its root is an overlay: `stage` on top of this machine's root.

Everything is in a mount namespace, a PID namespace and a tmpfs. They vanish when one process ends. Only the cgroups
must be removed. There is no network but the loopback device.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

NEEDS: Final = {
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}

BOOT: Final = """
set -eu
for group in $GROUPS_OF_OURS; do echo $$ > "$group/cgroup.procs"; done
exec setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child sh -euc '
    mount -t proc proc /proc
    mount -t tmpfs -o size=2g,mode=0755 none "$PLACE"
    mkdir "$PLACE/upper" "$PLACE/work" "$PLACE/root"
    cp -a "$STAGE/." "$PLACE/upper/"
    chmod 0755 "$PLACE/upper"
    mount -t overlay -o "lowerdir=/,upperdir=$PLACE/upper,workdir=$PLACE/work" overlay "$PLACE/root"
    mount -t tmpfs none /run
    exec systemd-nspawn --boot --quiet --directory="$PLACE/root" --machine=genbridge-test --register=no --keep-unit \
        --private-network --link-journal=no --console=pipe systemd.unit=basic.target
'
"""

TRY: Final = """
mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work /mnt/root &&
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
"""

# They would wait two minutes for a network that never comes.
MASKED: Final = ("systemd-networkd-wait-online", "NetworkManager-wait-online", "ifupdown-wait-online", "networking")


def skip_unless_possible() -> None:
    """Skip, saying why, where no container can be booted."""
    if os.geteuid() != 0:
        pytest.skip("systemd was not booted: needs root (run as root)")
    for program, package in NEEDS.items():
        if shutil.which(program) is None:
            pytest.skip(f"systemd was not booted: no {program} (install {package})")
    trial = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", TRY]
    if (tried := subprocess.run(trial, capture_output=True, text=True, timeout=20, check=False)).returncode:
        pytest.skip(f"systemd was not booted: no overlay of / here ({tried.stderr.strip()})")


def until(what: str, happened: Callable[[], bool], *, timeout_s: float) -> float:
    """Wait until it has happened, and return the seconds. Fails the test if it does not happen in time."""
    begun = time.monotonic()
    while not happened():
        if time.monotonic() > begun + timeout_s:
            pytest.fail(f"not within {timeout_s} s: {what}")
        time.sleep(0.1)
    return time.monotonic() - begun


class Booted:
    """A booted system, seen from outside."""

    def __init__(self, leader: int) -> None:
        self._leader = leader

    def run(self, command: str, *, timeout_s: float = 20) -> subprocess.CompletedProcess[str]:
        """Run a shell command inside the system, in `/`."""
        enter = ["nsenter", "--target", str(self._leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        return subprocess.run(
            [*enter, "--root", "sh", "-euc", f"cd /\n{command}"],
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def must(self, command: str, *, timeout_s: float = 20) -> str:
        """Run a shell command and return its output. Fails the test if the command does not exit 0."""
        done = self.run(command, timeout_s=timeout_s)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}\n{self.journal()}"
        return done.stdout

    def unit(self, name: str) -> str:
        """A property of the service, as `systemctl show` shows it."""
        return self.must(f"systemctl show --value --property={name} genbridge").strip()

    def journal(self) -> str:
        """The journal of the service."""
        return self.run("journalctl --no-pager --quiet --unit=genbridge").stdout


@contextlib.contextmanager
def boot(stage: Path, place: Path) -> Iterator[Booted]:
    """Boot the overlay; `place` is an empty folder to mount it at. Whatever happens, nothing is left behind."""
    for unit in MASKED:
        link = stage / "etc/systemd/system" / f"{unit}.service"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("/dev/null")
    said = place.with_name("boot.log")
    groups = list(_groups_of_ours())
    for group in groups:
        group.mkdir()
    environ = {
        "PATH": os.environ["PATH"],
        "STAGE": str(stage),
        "PLACE": str(place),
        "GROUPS_OF_OURS": " ".join(str(group) for group in groups),
    }
    with said.open("wb") as out:
        process = subprocess.Popen(["sh", "-c", BOOT], env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        leader = _leader(process, said)
        booted = Booted(leader)
        until("systemd is up", lambda: booted.run("systemctl is-system-running").stdout.strip() != "", timeout_s=30)
        up = {"running", "degraded"}
        until("boot", lambda: booted.run("systemctl is-system-running").stdout.strip() in up, timeout_s=30)
        yield booted
    finally:
        process.kill()
        process.wait()
        _remove(groups)


def _leader(process: subprocess.Popen[bytes], said: Path) -> int:
    """The process id of the container's PID 1 outside of the container. The parents are unshare > nspawn > systemd."""
    found: list[int] = []

    def appeared() -> bool:
        if process.poll() is not None:
            pytest.fail(f"the container ended at once: {said.read_text()}")
        found[:] = [grand for child in _children(process.pid) for grand in _children(child) if _is_systemd(grand)]
        return bool(found)

    until("the container has begun", appeared, timeout_s=30)
    return found[0]


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _is_systemd(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text() == "systemd\n"
    return False


def _groups_of_ours() -> Iterator[Path]:
    """A new cgroup below this process's own, in each hierarchy that systemd keeps its units in."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, own = line.split(":", 2)
        for _, mounted_at, kind, options, *_ in mounts:
            unified = number == "0" and kind == "cgroup2"
            named = controllers == "name=systemd" and kind == "cgroup" and controllers in options.split(",")
            if unified or named:
                yield Path(mounted_at) / own.lstrip("/") / f"genbridge-test-{os.getpid()}"


def _remove(groups: list[Path]) -> None:
    """Remove these groups. A group is busy until its last process has been reaped."""
    deadline = time.monotonic() + 10
    while left := [folder for group in groups for folder in [*group.rglob("*/"), group] if folder.is_dir()]:
        for folder in sorted(left, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: {left}")
        time.sleep(0.05)
