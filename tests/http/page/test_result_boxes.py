"""Which results a page may show, and how."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.domain.origins import has_origin
from bridge.domain.task import Snapshot
from bridge.http.page.result_boxes import ResultKind, ResultState, main_results, result_boxes
from tests.factories import NOW

CDN = "https://cdn.example.com"


def boxes(snapshot: Snapshot, *previews: str, began_at: float = NOW - 3600) -> list[Any]:
    return list(result_boxes(snapshot, previews, began_at=began_at, now=NOW))


def of(kind: str, *items: dict[str, Any], **fields: Any) -> Snapshot:
    return Snapshot(result={kind: items}, urls=tuple(one["url"] for one in items if "url" in one), **fields)


@pytest.mark.parametrize(
    ("url", "previews", "is_shown"),
    [
        (f"{CDN}/a.mp4?sig=1", [CDN], True),
        ("HTTPS://CDN.example.com:443/a.mp4", [CDN], True),
        ("http://cdn.example.com/a.mp4", [CDN], False),
        ("https://cdn.example.com:8443/a.mp4", [CDN], False),
        ("https://cdn.example.com.evil.example/a.mp4", [CDN], False),
        ("https://cdn.example.com@evil.example/a.mp4", [CDN], False),
        ("https://a.cdn.example.com/a.mp4", [CDN], False),
        ("https://a.b.example.org/a.mp4", ["https://*.example.org"], True),
        ("https://example.org/a.mp4", ["https://*.example.org"], False),
        ("https://evilexample.org/a.mp4", ["https://*.example.org"], False),
        ("javascript:alert(1)", [CDN], False),
        ("https://[", [CDN], False),
        ("", [CDN], False),
        (f"{CDN}/a.mp4", [], False),
    ],
)
def test_files_are_loaded_only_from_allowed_origins(url: str, previews: list[str], is_shown: bool) -> None:
    assert has_origin(url, previews) is is_shown


def test_a_video_has_its_cover_its_size_and_its_duration() -> None:
    video = {"url": f"{CDN}/v", "duration": "5.1", "width": 1920, "height": 1080.0, "cover_url": f"{CDN}/c.jpg"}
    [box] = boxes(of("videos", video), CDN)
    assert (box.kind, box.state, box.cover) == (ResultKind.VIDEO, ResultState.SHOWN, f"{CDN}/c.jpg")
    assert (box.made.length_s, box.made.width, box.made.height) == (5.1, 1920, 1080)


def test_a_cover_at_another_host_is_not_loaded() -> None:
    [box] = boxes(of("videos", {"url": f"{CDN}/v", "cover_url": "https://other.example/c.jpg"}), CDN)
    assert (box.state, box.cover) == (ResultState.SHOWN, "")
    [box] = boxes(of("videos", {"url": "https://other.example/v", "cover_url": f"{CDN}/c.jpg"}), CDN)
    assert (box.state, box.cover) == (ResultState.ELSEWHERE, f"{CDN}/c.jpg")


@pytest.mark.parametrize(
    ("left_s", "life_s", "state", "is_soon"),
    [
        (-1.0, 3600.0, ResultState.GONE, True),
        (240.0, 3600.0, ResultState.SHOWN, True),
        (1200.0, 3600.0, ResultState.SHOWN, False),
        (7200.0, 86_400.0, ResultState.SHOWN, True),
    ],
)
def test_a_result_is_marked_before_it_is_gone(left_s: float, life_s: float, state: ResultState, is_soon: bool) -> None:
    snapshot = of("images", {"url": f"{CDN}/a.png"}, expires_ms=round((NOW + left_s) * 1000))
    [box] = boxes(snapshot, CDN, began_at=NOW + left_s - life_s)
    assert (box.state, box.is_soon) == (state, is_soon)


def test_texts_files_in_answers_and_closed_files_are_distinguished() -> None:
    found = boxes(
        Snapshot(
            result={
                "texts": [{"text": "The tide"}],
                "images": [{"embedded": True, "bytes": 3_000_000}, {"url": f"{CDN}/b.png", "needs_key": True}],
            }
        ),
        CDN,
    )
    assert [(box.kind, box.state) for box in found] == [
        (ResultKind.TEXT, ResultState.SHOWN),
        (ResultKind.IMAGE, ResultState.EMBEDDED),
        (ResultKind.IMAGE, ResultState.CLOSED),
    ]


def test_an_address_that_no_item_has_is_a_result_too() -> None:
    snapshot = of("videos", {"url": f"{CDN}/a.mp4"})._replace(urls=(f"{CDN}/a.mp4", f"{CDN}/b.mp3"))
    assert [box.kind for box in boxes(snapshot, CDN)] == [ResultKind.VIDEO, ResultKind.AUDIO]


def test_the_main_results_are_those_that_a_person_waits_for() -> None:
    song = {"id": "s1", "url": f"{CDN}/a.mp3", "image_url": f"{CDN}/a.jpg"}
    found = boxes(
        Snapshot(
            result={"audios": [song], "images": [{"id": "s1", "url": f"{CDN}/a.jpg"}], "texts": [{"text": "la"}]},
            urls=(f"{CDN}/a.jpg", f"{CDN}/a.mp3"),
        ),
        CDN,
    )
    assert [box.url for box in main_results(found)] == [f"{CDN}/a.mp3"]
    assert found[1].cover == f"{CDN}/a.jpg"


def test_a_3d_model_is_the_main_result_beside_its_picture() -> None:
    model, picture = f"{CDN}/a.glb", f"{CDN}/a.png"
    result = {"images": [{"url": picture}], "files": [{"url": model}]}
    [box] = main_results(boxes(Snapshot(result=result, urls=(picture, model)), CDN))
    assert (box.kind, box.url, box.cover) == (ResultKind.FILE, model, picture)


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"url": None},
        {"url": 7, "duration": []},
        {"duration": "nan", "width": "x", "bytes": True},
        {"url": {"a": 1}},
    ],
)
def test_unexpected_items_of_a_provider_cause_no_error(item: dict[str, Any]) -> None:
    [box] = boxes(Snapshot(result={"videos": [item], "others": [{}]}))
    assert (box.made.length_s, box.made.width, box.url) == (None, 0, "")
