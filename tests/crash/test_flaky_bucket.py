"""Copies into a bucket whose server fails in the middle of uploads, by a daemon that is killed."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from bridge.archive.bucket import SINGLE_BYTES, Bucket
from tests.archive.buckets import BUCKET, environment, s3_server
from tests.archive.file_server import file_server
from tests.crash.trial_servers import FlakyProxy, in_thread
from tests.daemon_process import DaemonProcess
from tests.fork_server import completed
from tests.world import Answer, World, kling, running_world, until

pytestmark = [pytest.mark.crash, pytest.mark.long, pytest.mark.timeout(400)]

ROUTES = [{"topics": ["task_archived"], "endpoints": ["hook"]}]
FILES = {
    f"/film{number}.mp4": b"\x00\x00\x00\x18ftypmp42" + random.Random(number).randbytes(SINGLE_BYTES + 9_000_000)
    for number in range(2)
}


def test_uploads_that_fail_in_parts_leave_one_whole_copy_of_each(tmp_path: Path) -> None:
    ids = [name.removeprefix("/").removesuffix(".mp4") for name in FILES]
    with (
        running_world(World()) as world,
        file_server(FILES) as url,
        s3_server() as bucket,
        pytest.MonkeyPatch.context() as patch,
    ):

        def answer(task_id: str) -> Answer:
            return 200, json.dumps(kling(task_id, "succeed", urls=[f"{url}/{task_id}.mp4"])).encode(), {}

        def archived() -> set[str]:
            return {one.data["task_id"] for one in list(world.received) if one.topic == "task_archived"}

        world.fault = answer
        flaky = FlakyProxy(int(bucket.rpartition(":")[2]), random.Random(5), most_bytes=8 << 20)
        with in_thread(flaky.serve) as [port]:
            for name, value in environment(f"http://127.0.0.1:{port}").items():
                patch.setenv(name, value)
            settings = world.settings(tmp_path, archive={"to": f"s3://{BUCKET}/x"}, routes=ROUTES)
            assert completed("add", *ids, "--config", settings).returncode == 0
            with DaemonProcess(settings) as daemon:
                until(lambda: flaky.events.total() > 3, seconds=60, what="some requests")
                time.sleep(random.Random(1).uniform(0.2, 2.0))
                daemon.kill()
            flaky.is_calm = flaky.events["cut"] > 3 and flaky.events["503"] > 3
            with DaemonProcess(settings):
                until(lambda: archived() == set(ids) or flaky.events.total() > 60, seconds=60, what="some failures")
                flaky.is_calm = True
                until(lambda: archived() == set(ids), seconds=90, what="every copy")

        for name, value in environment(bucket).items():
            patch.setenv(name, value)
        place = Bucket(f"s3://{BUCKET}/x", tmp_path)
        found = {one.path: one.bytes for one in place.entries()}
        copies = [path for path in found if path.endswith(".mp4")]
        assert sorted(path.rpartition("/")[2] for path in copies) == sorted(f"{one}-1.mp4" for one in ids)
        for path in copies:
            assert place.read(path) == FILES[f"/{path.rpartition('/')[2].removesuffix('-1.mp4')}.mp4"]
        assert flaky.events["cut"]
        assert flaky.events["503"]
