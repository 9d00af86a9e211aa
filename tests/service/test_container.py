"""The steps of Containerfile, run on this machine's root. They need no container tool and leave nothing behind.

The base image is an overlay of `/`; the program is made of the packages that are installed here, because there is no
network.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.service.booted import skip_unless_possible
from tests.service.test_boot import stage_package

ROOT: Final = Path(__file__).parents[2]
CONTAINERFILE: Final = (ROOT / "Containerfile").read_text().replace("\\\n", "")

SETTINGS: Final = """
accounts: {kling: {provider: kling, base_url: "http://127.0.0.1:9", api_key: "${KEY}", action: videos/text2video}}
http: {listen: "0.0.0.0:8642", token: "${TOKEN}"}
"""

SCRIPT: Final = r"""
set -eu
mount -t tmpfs -o size=2g,mode=0755 none "$PLACE"
mkdir "$PLACE/upper" "$PLACE/work" "$PLACE/root"
cp -a "$STAGE/." "$PLACE/upper/" && chmod 0755 "$PLACE/upper"
mount -t overlay -o "lowerdir=/,upperdir=$PLACE/upper,workdir=$PLACE/work" overlay "$PLACE/root"
cd "$PLACE/root"
chroot . sh -euc "$STEPS"
mount -t tmpfs -o size=64m none tmp && chmod 1777 tmp
mount -t tmpfs -o size=64m,mode=0750,uid=10001,gid=10001 none var/lib/genbridge
mount -t proc proc proc
mount --bind /dev dev
mount -o remount,ro,bind "$PLACE/root" 2>/dev/null || mount -o remount,ro "$PLACE/root"
ip link set lo up
as_user() {
    chroot . setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all \
        env -i PATH=/usr/local/bin:/usr/bin:/bin KEY=k-0123 TOKEN=t-0123 "$@"
}
as_user sh -c '! touch /etc/x /opt/genbridge/x 2>/dev/null' || { echo 'the root is writable'; exit 1; }
as_user $START &
daemon=$!
tries=0
until as_user $HEALTH; do
    tries=$((tries + 1))
    [ "$tries" -lt 30 ] || exit 1
    sleep 0.5
done
as_user genbridge add a-task
as_user genbridge list --json
chroot . sh -c "kill -TERM \$(pgrep -u 10001 -f 'genbridge run')"
wait "$daemon"
! as_user $HEALTH || { echo 'healthy without a daemon'; exit 1; }
echo stopped
"""


def instruction(name: str) -> str:
    """The last instruction of this name, which is that of the final image."""
    return str(re.findall(rf"^{name} (.+)$", CONTAINERFILE, re.MULTILINE)[-1])


def words(text: str) -> list[str]:
    found: list[str] = json.loads(text.partition("CMD ")[2] or text)
    return found


@pytest.mark.real
@pytest.mark.long
def test_the_image_runs_unprivileged_and_read_only_and_reports_its_health(tmp_path: Path) -> None:
    skip_unless_possible()
    stage, place = tmp_path / "stage", tmp_path / "place"
    place.mkdir()
    stage.mkdir()
    stage_package(stage)
    (stage / "etc/genbridge").mkdir(parents=True)
    (stage / "etc/genbridge/genbridge.yaml").write_text(SETTINGS)
    assert instruction("USER") == "10001:10001"
    assert instruction("VOLUME") == "/var/lib/genbridge"
    variables = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "STAGE": str(stage),
        "PLACE": str(place),
        "STEPS": instruction("RUN"),
        "START": " ".join([instruction("ENV"), *words(instruction("ENTRYPOINT")), *words(instruction("CMD"))]),
        "HEALTH": " ".join(words(instruction("HEALTHCHECK"))),
    }
    inside = ["unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child"]
    done = subprocess.run(
        [*inside, "sh", "-c", SCRIPT], env=variables, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"id": "a-task"' in done.stdout
    assert done.stdout.rstrip().endswith("stopped")


def test_the_compose_example_is_hardened_and_uses_the_image_as_it_is() -> None:
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["genbridge"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["build"]["dockerfile"] == "Containerfile"
    assert service["healthcheck"]["test"] == ["CMD", *words(instruction("HEALTHCHECK"))]
    spans = (
        f"--{name.replace('_', '-')}={service['healthcheck'][name]}" for name in ("interval", "timeout", "start_period")
    )
    assert all(span in instruction("HEALTHCHECK") for span in spans)
    assert any(volume.endswith(f":{instruction('VOLUME')}") for volume in service["volumes"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
