"""Which results of a finished task are reported, with which kind, and which are left out."""

from __future__ import annotations

import orjson
import pytest

from bridge.domain.task import Json, ReadingKind, Snapshot
from tests.providers.reading_of import ACTION, TASK_ID, kling, newapi, reading_of, videos

A, B = "https://cdn.example.com/a.mp4", "https://cdn.example.com/b.mp4"
IMAGE = "https://cdn.example.com/i.png?sign=x.mp4"


def _seen(body: Json, *, action: str = ACTION, own_host: str = "api.example.com") -> Snapshot:
    reading = reading_of(body, action=action, own_host=own_host)
    assert reading.kind is ReadingKind.SUCCEEDED, reading
    assert reading.snapshot is not None
    return reading.snapshot


@pytest.mark.parametrize(
    ("task_result", "expected"),
    [
        ({"videos": [{"url": A}, {"url": B}]}, {"videos": [A, B]}),
        ({"videos": {"url": A}}, {"videos": [A]}),
        ({"videos": [A, B]}, {"videos": [A, B]}),
        ({"videos": A}, {"videos": [A]}),
        ([{"url": A}, IMAGE], {"videos": [A], "images": [IMAGE]}),
        ({"video": [{"url": A}]}, {"videos": [A]}),
        ({"outputs": [{"url": IMAGE}]}, {"images": [IMAGE]}),
        ({"outputs": [{"url": "https://cdn.example.com/x"}]}, {"videos": ["https://cdn.example.com/x"]}),
        ({"images": [{"url": IMAGE}], "videos": [{"url": A}]}, {"videos": [A], "images": [IMAGE]}),
        ({"videos": [{"url": A}, {"url": A}], "outputs": [{"url": A}]}, {"videos": [A]}),
        ({"videos": [{"url": f" {A}\n"}]}, {"videos": [A]}),
        ({"videos": [{"url": A}, None, 3, [], {}]}, {"videos": [A]}),
        ({"cover_url": IMAGE, "videos": [{"url": A}]}, {"videos": [A]}),
        ({"videos": [A, "soon", ""]}, {"videos": [A]}),
    ],
)
def test_results_are_collected_from_every_list_by_kind(task_result: Json, expected: dict[str, list[str]]) -> None:
    seen = _seen(kling(task_result=task_result))

    assert {kind: [item["url"] for item in items] for kind, items in seen.result.items()} == expected
    assert sorted(seen.urls) == sorted(url for urls in expected.values() for url in urls)


def test_without_key_and_extension_the_action_decides_the_kind_of_a_result() -> None:
    bare = "https://cdn.example.com/content"

    assert list(_seen(newapi(result_url=bare), action="images/generations").result) == ["images"]
    assert list(_seen(newapi(result_url=bare), action="audio/tts").result) == ["audios"]
    assert list(_seen(newapi(result_url=bare), action="other/thing").result) == ["files"]


@pytest.mark.parametrize(
    ("provider", "task", "kind"),
    [
        ("flux", {"status": "Ready", "result": {"sample": "https://cdn.example.com/x"}}, "images"),
        ("runway", {"status": "SUCCEEDED", "output": ["https://cdn.example.com/x"]}, "videos"),
        ("vidu", {"state": "success", "creations": [{"url": "https://cdn.example.com/x"}]}, "videos"),
        *(
            ("unified_v2", {"status": "SUCCESS", "data": {"outputs": [item]}}, kind)
            for item, kind in [
                ({"url": "https://cdn.example.com/x", "type": "image"}, "images"),
                ({"url": "https://cdn.example.com/x", "mime_type": "audio/mpeg"}, "audios"),
                ({"url": "https://cdn.example.com/x", "type": "text"}, "videos"),
            ]
        ),
        (
            "newapi",
            {"task_id": TASK_ID, "status": "SUCCESS", "output": {"url": "https://c.example.com/x", "type": "image"}},
            "images",
        ),
        ("fal", {"request_id": TASK_ID, "status": "COMPLETED"}, "images"),
    ],
)
def test_without_extension_the_item_or_the_vendor_shows_the_kind(
    provider: str, task: dict[str, Json], kind: str
) -> None:
    second = {"output": {"url": "https://cdn.example.com/x", "content_type": "image/webp"}}
    reading = reading_of({"id": TASK_ID, **task}, provider=provider, action=None, second=second)

    assert reading.snapshot is not None
    assert list(reading.snapshot.result) == [kind]


def test_an_item_keeps_its_keys_and_watermark_and_cover_are_no_results() -> None:
    item = {"id": "7", "url": A, "watermark_url": B, "cover_url": IMAGE, "duration": "5.1"}
    seen = _seen(kling(task_result={"videos": [item]}))

    assert seen.result == {"videos": [item]}
    assert seen.urls == (A,)


def test_a_sound_in_two_formats_is_two_results() -> None:
    mp3, wav = "https://cdn.example.com/k.mp3", "https://cdn.example.com/k.wav"
    item = {"id": "1", "url_mp3": mp3, "url_wav": wav, "duration_mp3": "5.0"}
    seen = _seen(kling(task_result={"audios": [item]}))

    assert seen.result == {"audios": [{**item, "url": mp3}, {**item, "url": wav}]}


@pytest.mark.parametrize(
    ("fields", "urls"),
    [
        ({"result_url": A, "fail_reason": B}, (A,)),
        ({"fail_reason": B}, (B,)),
        ({"fail_reason": B, "result_url": ""}, (B,)),
        ({"url": A, "error": None}, (A,)),
        ({"result_url": A, "data": videos(B)}, (A,)),
        ({"data": videos(B), "fail_reason": A}, (B,)),
        ({"result_url": A, "data": videos(A, B)}, (A, B)),
        ({"result_url": A, "data": [1]}, (A,)),
        ({"data": {"output": A}, "fail_reason": B}, (A,)),
        ({"data": {"outputs": [A, B]}}, (A, B)),
        ({"result_url": A, "data": {"output": B}}, (A,)),
        ({"data": {"output": A, "outputs": [A, B]}}, (A, B)),
        ({"data": {"output": A, "outputs": [B, A]}}, (B, A)),
        ({"result_url": A, "data": {"output": [A, B]}}, (A, B)),
        ({"result_url": A, "data": {"outputs": [B, "https://cdn.example.com/c.mp4"]}}, (A,)),
        ({"video_url": A, "video_urls": [A, B]}, (A, B)),
        ({"data": {"id": "7", "state": "success", "creations": [{"url": A}, {"url": B}]}}, (A, B)),
    ],
)
def test_new_apis_result_is_found_in_every_documented_place(fields: dict[str, Json], urls: tuple[str, ...]) -> None:
    seen = _seen(newapi(**fields))

    assert seen.urls == urls
    assert seen.message == ""


def test_other_files_beside_a_single_result_are_not_results() -> None:
    made = orjson.dumps({"resultUrls": [A], "resultWaterMarkUrls": [B]}).decode()
    job = {"taskId": TASK_ID, "state": "success", "resultJson": made}
    shown, saved = ({"filename": f"{kind}.png", "subfolder": "", "type": kind} for kind in ("temp", "output"))
    prompt = {"outputs": {"1": {"images": [shown]}, "2": {"images": [saved]}}, "status": {"status_str": "success"}}
    for provider, body, name in (
        ("kie", {"code": 200, "data": job}, "a.mp4"),
        ("comfyui", {TASK_ID: prompt}, "output.png"),
    ):
        reading = reading_of(body, provider=provider, action=None)
        assert reading.snapshot is not None
        assert len(reading.snapshot.urls) == 1, reading
        assert name in reading.snapshot.urls[0]


@pytest.mark.parametrize("output", [f" {A}\n", [f"\t{A}"], {"video": f"{A} "}])
def test_an_address_is_found_without_the_blanks_around_it(output: Json) -> None:
    reading = reading_of({"id": TASK_ID, "status": "succeeded", "output": output}, provider="replicate")

    assert reading.snapshot is not None
    assert reading.snapshot.urls == (A,)


@pytest.mark.parametrize(
    "body",
    [
        kling(),
        kling(task_result=None),
        kling(task_result={}),
        kling(task_result={"videos": []}),
        kling(task_result={"videos": [{"id": "1", "url": ""}]}),
        kling(task_result={"videos": [{"id": "1", "url": None}]}),
        kling(task_result={"videos": [{"watermark_url": A}]}),
        kling(task_result="none"),
        kling(task_result={"videos": "soon"}),
        kling(task_result={"videos": ["soon"]}),
        newapi(fail_reason="done", result_url=None, data=None),
        newapi(fail_reason=5),
        newapi(data={"output": "soon", "outputs": [None, ""]}),
        newapi(data={"output": A, "status": "processing"}),
        {"task_id": TASK_ID, "status": "succeeded", "url": ""},
    ],
)
def test_a_success_without_a_result_does_not_finish_the_task_yet(body: Json) -> None:
    reading = reading_of(body)

    assert (reading.kind, reading.lacks_result) == (ReadingKind.AMBIGUOUS, True)
    assert reading.snapshot is not None


@pytest.mark.parametrize("output", [{"video": None}, {"images": []}, [None], [""], {"a": [{"b": {}}]}])
def test_an_output_with_keys_and_no_content_is_no_result(output: Json) -> None:
    made = orjson.dumps(output).decode()
    job = {"code": 200, "data": {"taskId": TASK_ID, "state": "success", "resultJson": made}}
    for provider, body in (
        ("replicate", {"id": TASK_ID, "status": "succeeded", "output": output}),
        ("runpod", {"id": TASK_ID, "status": "COMPLETED", "output": output}),
        ("kie", job),
    ):
        reading = reading_of(body, provider=provider, action=None)

        assert (reading.kind, reading.lacks_result) == (ReadingKind.AMBIGUOUS, True), reading


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://127.0.0.1/v.mp4",
        "http://169.254.169.254/latest",
        "https://user:secretword@cdn.example.com/v.mp4",
        "/relative.mp4",
        "https://cdn.example.com/../x",
        "https://cdn.example.com/a\r\nb",
        "https://cdn.example.com/" + "x" * 70_000,
        "AAAA" * 10,
    ],
)
def test_a_dangerous_url_is_withheld_and_the_task_still_finishes(url: str) -> None:
    reading = reading_of(videos(url))

    assert reading.kind is ReadingKind.SUCCEEDED
    assert reading.snapshot is not None
    assert (reading.snapshot.urls, reading.snapshot.result) == ((), {})
    assert len(reading.snapshot.refused) == 1
    assert reading.detail.startswith("1 result URL was refused: ")
    assert "secretword" not in reading.detail
    assert len(reading.detail) < 200
    assert reading.detail.isprintable()


@pytest.mark.parametrize(
    ("given", "urls"),
    [
        ("https://cdn.example.com/my clip 1.mp4?sign=a%2Fb", ("https://cdn.example.com/my%20clip%201.mp4?sign=a%2Fb",)),
        ("https://cdn.example.com/a.mp4 https://cdn.example.com/b.mp4", ()),
        ("https://docs.example.com for details", ()),
    ],
)
def test_blanks_in_the_name_of_a_file_are_encoded(given: str, urls: tuple[str, ...]) -> None:
    reading = reading_of(videos(given))

    assert reading.snapshot is not None
    assert reading.snapshot.urls == urls
    assert len(reading.snapshot.refused) == 1 - len(urls)


def test_good_results_are_reported_together_with_withheld_ones() -> None:
    reading = reading_of(videos("ftp://x/y?key=1", A, ""))

    assert reading.snapshot is not None
    assert reading.snapshot.urls == (A,)
    assert reading.snapshot.refused == ('ftp://x/y: the scheme is "ftp"',)
    assert reading.detail.startswith("1 result URL was refused: ")


def test_an_empty_url_next_to_a_valid_one_is_ignored_silently() -> None:
    reading = reading_of(videos(A, "", "  "))

    assert reading.snapshot is not None
    assert (reading.snapshot.urls, reading.snapshot.refused, reading.detail) == ((A,), (), "")


def test_a_private_aggregator_may_return_its_own_address() -> None:
    assert _seen(newapi(result_url="http://192.168.1.5:3000/v1/x"), own_host="192.168.1.5").urls


ELEMENT: Json = {
    "element_id": 829836802793406551,
    "element_name": "Mia",
    "element_image_list": {"frontal_image": IMAGE},
}
VOICE: Json = {"voice_id": "v-17", "voice_name": "warm", "trial_url": "https://cdn.example.com/v.mp3"}


@pytest.mark.parametrize(
    ("provider", "body", "expected"),
    [
        ("kling", kling(task_result={"elements": [ELEMENT]}), {**ELEMENT, "text": "829836802793406551"}),
        ("kling", kling(task_result={"voices": [VOICE]}), {**VOICE, "text": "v-17"}),
        (
            "kling",
            newapi(data=kling(task_result={"elements": [{**ELEMENT, "status": "succeed"}]})),
            {**ELEMENT, "status": "succeed", "text": "829836802793406551"},
        ),
        (
            "kling_v2",
            [{"type": "element", "id": "e-1", "status": "succeeded", "references": [{"url": IMAGE}]}],
            {"type": "element", "id": "e-1", "status": "succeeded", "references": [{"url": IMAGE}], "text": "e-1"},
        ),
        (
            "kling_v2",
            [{"type": "voice", "id": "v-1", "status": "succeeded"}],
            {"type": "voice", "id": "v-1", "status": "succeeded", "text": "v-1"},
        ),
    ],
)
def test_the_result_of_an_element_or_a_voice_is_its_id(provider: str, body: Json, expected: Json) -> None:
    if isinstance(body, list):
        body = {"code": 0, "data": [{"id": TASK_ID, "status": "succeeded", "message": "", "outputs": body}]}
    reading = reading_of(body, provider=provider, action="general/advanced-custom-elements")

    assert (reading.kind, reading.detail) == (ReadingKind.SUCCEEDED, ""), reading
    assert reading.snapshot is not None
    assert reading.snapshot.result == {"texts": [expected]}
    assert reading.snapshot.urls == ()


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("kling", kling(task_result={"elements": [{**ELEMENT, "status": "deleted"}]})),
        (
            "kling_v2",
            {
                "code": 0,
                "data": [
                    {
                        "id": TASK_ID,
                        "status": "succeeded",
                        "outputs": [{"type": "voice", "id": "v-1", "status": "deleted"}],
                    }
                ],
            },
        ),
    ],
)
def test_a_deleted_element_or_voice_is_a_result_that_is_gone(provider: str, body: Json) -> None:
    assert reading_of(body, provider=provider).kind is ReadingKind.EXPIRED_RESULT


def test_a_video_next_to_an_element_is_reported_with_it() -> None:
    outputs: Json = [{"type": "video", "id": "1", "url": A}, {"type": "element", "id": "e-1"}]
    body = {"code": 0, "data": [{"id": TASK_ID, "status": "succeeded", "outputs": outputs}]}
    reading = reading_of(body, provider="kling_v2")

    assert reading.snapshot is not None
    assert reading.snapshot.urls == (A,)
    assert {kind: len(items) for kind, items in reading.snapshot.result.items()} == {"videos": 1, "texts": 1}
