"""Results that are not a URL: a file inside the answer, and an address in a cloud."""

from __future__ import annotations

import base64

import orjson
import pytest

from bridge.domain.task import Json, ReadingKind, Snapshot
from tests.providers.reading_of import OP, kling, reading_of, veo

A = "https://cdn.example.com/a.mp4"


def test_a_cloud_address_is_in_result_and_reason_but_not_in_urls() -> None:
    cases: list[tuple[str, Json]] = [
        ("veo", veo(videos=[{"gcsUri": "gs://bucket/v.mp4", "mimeType": "video/mp4"}])),
        ("newapi", {"task_id": OP, "status": "succeeded", "result_url": "gs://bucket/v.mp4"}),
        ("replicate", {"id": OP, "status": "succeeded", "output": {"video": "s3://bucket/v.mp4"}}),
    ]
    for provider, body in cases:
        reading = reading_of(body, provider=provider, task_id=OP, action=None)

        assert (reading.kind, reading.lacks_result) == (ReadingKind.SUCCEEDED, False), reading
        seen = reading.snapshot or Snapshot()
        assert seen.urls == ()
        assert [item["url"].endswith("://bucket/v.mp4") for item in seen.result["videos"]] == [True]
        assert "://bucket/v.mp4" in reading.detail


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk" + "A" * 1936
PNG_BYTES = len(PNG) * 3 // 4
MP4 = base64.b64encode(b"\x00\x00\x00\x18ftypmp42" + bytes(3000)).decode()
HEIC = base64.b64encode(b"\x00\x00\x00\x18ftypheic" + bytes(3000)).decode()
GZIP_TOKEN = base64.b64encode(b"\x1f\x8b" + bytes(range(98))).decode()
FILES: list[tuple[str, Json, str, str, int]] = [
    (
        "replicate",
        {"id": OP, "status": "succeeded", "output": f"data:image/png;base64,{PNG}"},
        "images",
        "image/png",
        PNG_BYTES,
    ),
    (
        "replicate",
        {"id": OP, "status": "succeeded", "output": {"n": 1, "image": PNG}},
        "images",
        "image/png",
        PNG_BYTES,
    ),
    ("replicate", {"id": OP, "status": "succeeded", "output": [[PNG]]}, "images", "image/png", PNG_BYTES),
    ("replicate", {"id": OP, "status": "succeeded", "output": MP4}, "videos", "video/mp4", 3012),
    ("replicate", {"id": OP, "status": "succeeded", "output": HEIC}, "images", "image/heic", 3012),
    (
        "replicate",
        {"id": OP, "status": "succeeded", "output": "QUJDabc1" * 250},
        "files",
        "application/octet-stream",
        1500,
    ),
    ("veo", veo(videos=[{"bytesBase64Encoded": MP4, "mimeType": "video/mp4"}]), "videos", "video/mp4", 3012),
    ("veo", veo(video="AAAA"), "videos", "application/octet-stream", 3),
    (
        "jimeng",
        {"code": 10000, "data": {"status": "done", "binary_data_base64": [PNG]}},
        "images",
        "image/png",
        PNG_BYTES,
    ),
    ("newapi", {"task_id": OP, "status": "succeeded", "data": [{"b64_json": PNG}]}, "images", "image/png", PNG_BYTES),
    (
        "newapi",
        {"task_id": OP, "status": "succeeded", "url": f"data:video/mp4;base64,{MP4}"},
        "videos",
        "video/mp4",
        3012,
    ),
    (
        "newapi",
        {
            "code": "success",
            "data": {"task_id": OP, "status": "SUCCESS", "fail_reason": f"data:video/mp4;base64,{MP4}"},
        },
        "videos",
        "video/mp4",
        3012,
    ),
    (
        "kling",
        {"code": 0, "data": {"task_id": OP, "task_status": "succeed", "task_result": {"images": [{"b64": PNG}]}}},
        "images",
        "image/png",
        PNG_BYTES,
    ),
]


@pytest.mark.parametrize(("provider", "body", "kind", "media_type", "size"), FILES)
def test_a_file_within_the_answer_is_named_and_measured_and_not_kept(
    provider: str, body: Json, kind: str, media_type: str, size: int
) -> None:
    reading = reading_of(body, provider=provider, task_id=OP, action=None)

    assert reading.kind is ReadingKind.SUCCEEDED, reading
    seen = reading.snapshot or Snapshot()
    (item,) = seen.result[kind]
    assert (item["embedded"], item["media_type"], item["bytes"]) == (True, media_type, size)
    assert (seen.urls, seen.refused, seen.message) == ((), (), "")
    assert len(orjson.dumps(seen.result)) < 300
    assert media_type in reading.detail


def test_a_file_in_an_item_with_a_url_is_replaced() -> None:
    reading = reading_of(kling(task_result={"videos": [{"url": A, "cover": PNG, "meta": {"first_frame": [MP4]}}]}))

    assert reading.snapshot is not None
    (item,) = reading.snapshot.result["videos"]
    assert item["cover"] == {"embedded": True, "media_type": "image/png", "bytes": PNG_BYTES}
    assert item["meta"]["first_frame"][0]["media_type"] == "video/mp4"
    assert reading.snapshot.urls == (A,)


@pytest.mark.parametrize(
    "text", ["a poem", "x" * 60, "x" * 5000, "word " * 900, "https://cdn.example.com/" + "a" * 2000, GZIP_TOKEN]
)
def test_words_and_addresses_are_not_taken_for_files(text: str) -> None:
    seen = reading_of({"id": OP, "status": "succeeded", "output": text}, provider="replicate", task_id=OP).snapshot

    assert seen is not None
    assert not any(item.get("embedded") for items in seen.result.values() for item in items)
