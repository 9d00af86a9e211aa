"""The provider and the receivers of a long run, with every fault, and what they have recorded."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from statistics import quantiles

from tests.world import REFUSED, RESET, Answer, World, kling

ENDPOINTS = ("steady", "flaky")
TIMEOUT_S = 5.0  # the time-out of polls and of webhooks in the settings
TOO_LATE_S = TIMEOUT_S + 2.0

FAULTS = {  # faults of the provider, in thousandths of all requests
    "limited": 10,
    "error": 15,
    "page": 10,
    "too_late": 5,
    "late": 15,
    "cut": 15,
    "stalled": 5,
    "garbage": 10,
    "of_another": 10,
    "new_word": 5,
    "no_result": 5,
    "unknown": 5,
}


def said(body: object, status: int = 200, **headers: str) -> Answer:
    return status, json.dumps(body).encode(), headers


FIXED: dict[str, Answer] = {  # faults whose answer does not tell the status of the task
    "limited": said({"code": 1302, "message": "too fast"}, 429, **{"Retry-After": "2"}),
    "error": said({"code": 5000, "message": "internal"}, 500),
    "page": (502, b"<html><h1>Bad Gateway</h1></html>", {"Content-Type": "text/html"}),
    "unknown": said({"code": 1203, "message": "The requested resource does not exist"}, 404),
    "cut": (RESET, b"", {}),
    "refused": REFUSED,
}
HOOK_FAULTS = {  # faults of an endpoint, in thousandths of all webhooks
    "steady": {"busy": 10, "cut": 10, "late": 10, "too_late": 3},
    "flaky": {"busy": 50, "error": 50, "cut": 30, "late": 10, "too_late": 5},
}
OUTAGES = ("cut", "error", "limited", "refused", "flaky", "both")  # the last two are of the receivers


@dataclass
class SoakWorld(World):
    """Causes each fault now and then. While `outage` is set, one part has an outage.

    Keeps counts and digests in place of requests and webhooks: a run may have a hundred thousand of them.
    """

    luck: random.Random = field(default_factory=random.Random)
    outage: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)  # number of polls and webhooks, by daemon
    polled: Counter[str] = field(default_factory=Counter)  # by task
    polls_after_end: int = 0  # after an undisturbed answer has shown the end
    shown_at: dict[str, float] = field(default_factory=dict)  # when an undisturbed answer first showed the end
    first_at: dict[tuple[str, str], float] = field(default_factory=dict)  # by endpoint and task: the first webhook
    accepted: Counter[tuple[str, str]] = field(default_factory=Counter)  # by endpoint and task: answered with 200
    attempts: int = 0
    answered_too_late: int = 0  # webhooks that were accepted after the daemon had stopped waiting: it sends them again
    digests: dict[tuple[str, str], set[bytes]] = field(default_factory=lambda: defaultdict(set))
    event_ids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # by task
    false: list[str] = field(default_factory=list)  # descriptions of wrong webhooks
    other_topics: Counter[str] = field(default_factory=Counter)
    arrived: threading.Event = field(default_factory=threading.Event)  # set by each webhook
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def may_block(self, path: str | None = None) -> bool:
        return True

    def answer(self, account: str, daemon: str, ids: Sequence[str], *, is_batch: bool) -> Answer:
        task_id, now = ids[0], time.monotonic()
        is_finished = now >= self.ends_at.get(task_id, now + 1)
        with self._lock:
            fault = self._chosen(FAULTS)
            if self.outage in {"cut", "error", "limited", "refused"}:
                fault = self.outage
            self.acts[daemon] += 1
            self.polled[task_id] += 1
            self.faults[fault] += 1
            if fault == "" and is_finished:
                self.polls_after_end += task_id in self.shown_at
                self.shown_at.setdefault(task_id, now)
        return self._with(fault, task_id, self._video(task_id, is_finished=is_finished))

    def _chosen(self, weights: Mapping[str, int]) -> str:
        return self.luck.choices(["", *weights], [1000 - sum(weights.values()), *weights.values()])[0]

    def _with(self, fault: str, task_id: str, answer: Answer) -> Answer:
        """The answer after this fault has changed it."""
        status, body, _ = answer
        match fault:
            case "late" | "too_late":
                time.sleep(2.0 if fault == "late" else TOO_LATE_S)
            case "stalled":  # the rest of the body is never sent
                return status, body, {"Content-Length": str(len(body) + 100)}
            case "garbage":
                return 200, body[: len(body) // 2] + b"\xff\x00", {}
            case "of_another":
                return said(kling(f"not-{task_id}", "succeed", urls=["https://cdn.example.test/wrong.mp4"]))
            case "new_word":
                return said(kling(task_id, "dreaming"))
            case "no_result":
                return said(kling(task_id, "succeed", urls=[]))
        return FIXED.get(fault, answer)

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        now, endpoint = time.monotonic(), path.strip("/")
        lower = {name.lower(): value for name, value in headers.items()}
        event_id = lower["webhook-id"]
        is_down = self.outage == "both" or (self.outage == "flaky" and endpoint == "flaky")
        with self._lock:
            fault = "cut" if is_down else self._chosen(HOOK_FAULTS[endpoint])
            status = {"busy": 503, "error": 500, "cut": RESET}.get(fault, 200)
            self.acts[lower["x-daemon"]] += 1
            self.answered_too_late += fault == "too_late"
            self._keep(endpoint, event_id, body, is_accepted=status == 200, at=now)
        self.arrived.set()
        if fault in {"late", "too_late"}:
            time.sleep(2.0 if fault == "late" else TOO_LATE_S)
        return status

    def _keep(self, endpoint: str, event_id: str, body: bytes, *, is_accepted: bool, at: float) -> None:
        content = json.loads(body)
        topic, data = content["topic"], content["data"]
        self.attempts += 1
        self.digests[endpoint, event_id].add(blake2b(body, digest_size=16).digest())
        if not topic.startswith("task_"):
            self.other_topics[topic] += 1
            return
        task_id = data["task_id"]
        self.event_ids[task_id].add(event_id)
        self.first_at.setdefault((endpoint, task_id), at)
        self.accepted[endpoint, task_id] += is_accepted
        self.false += self._untruths(task_id, topic, data["urls"], at)

    def _untruths(self, task_id: str, topic: str, urls: Sequence[str], at: float) -> list[str]:
        if task_id not in self.ends_at:
            return [f"{task_id}: nobody handed it over"]
        wanted = "task_failed" if task_id in self.fails else "task_succeeded"
        if topic != wanted:
            return [f"{task_id}: {topic} in place of {wanted}"]
        if at < self.ends_at[task_id]:
            return [f"{task_id}: {topic} {self.ends_at[task_id] - at:.1f} s before its end"]
        if topic == "task_succeeded" and not (len(urls) == 1 and task_id[:40] in urls[0]):
            return [f"{task_id}: result of another task"]
        return []

    @property
    def repeats(self) -> int:
        """Webhooks that were accepted although the same one had been accepted before."""
        return sum(max(0, times - 1) for times in self.accepted.values())

    def is_all_accepted(self) -> bool:
        return all(self.accepted[endpoint, one] for endpoint in ENDPOINTS for one in list(self.ends_at))

    def figures(self) -> dict[str, object]:
        """The figures of the run so far, by name."""
        with self._lock:
            now = time.monotonic()
            ended = {one for one, at in self.ends_at.items() if at <= now}
            tasks, polls = len(self.ends_at), sum(self.polled.values())
            delays = [at - self.ends_at[one] for (to, one), at in self.first_at.items() if to == "steady"]
            sends = [self.first_at["steady", one] - at for one, at in self.shown_at.items() if self.has(one)]
            return {
                "ended at the provider": len(ended),
                **{
                    f"accepted at least once by {to}": sum(self.accepted[to, one] > 0 for one in ended)
                    for to in ENDPOINTS
                },
                "not delivered to every endpoint": sum(
                    not all(self.accepted[to, one] for to in ENDPOINTS) for one in ended
                ),
                "repeats": self.repeats,
                "webhooks answered too late": self.answered_too_late,
                "webhooks in all": self.attempts,
                "events with different bodies": sum(len(found) > 1 for found in self.digests.values()),
                "tasks with two event ids": sum(len(found) > 1 for found in self.event_ids.values()),
                "false results": len(self.false),
                "requests at the provider": polls,
                "polls per task": round(polls / max(1, tasks), 2),
                "polls after an answer with the end": self.polls_after_end,
                "answers with a fault": polls - self.faults[""],
                "faults": {name: n for name, n in sorted(self.faults.items()) if name},
                "other topics": dict(self.other_topics),
                "end to webhook": percentiles(delays),
                "answer with the end to webhook": percentiles(sends),
            }

    def has(self, task_id: str) -> bool:
        return ("steady", task_id) in self.first_at


def percentiles(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "-"
    cuts = quantiles(seconds, n=100)
    return f"p50 {cuts[49]:.3f} s, p95 {cuts[94]:.3f} s, most {max(seconds):.1f} s"
