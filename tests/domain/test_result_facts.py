"""What a task made, read from its result."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.domain.archive_names import CopyMade
from bridge.domain.result_facts import (
    MOST_RESULTS,
    ResultFacts,
    kind_of_file,
    result_facts,
    with_copies_of,
    with_paths_of,
)

CDN = "https://cdn.example.com"
SONG = {
    "audios": [
        {"id": "s1", "url": f"{CDN}/1.mp3", "duration": 153.6, "title": "Tide", "image_url": f"{CDN}/1.jpg"},
        {"id": "s2", "url": f"{CDN}/2.mp3", "duration": "161"},
    ],
    "images": [{"id": "s1", "url": f"{CDN}/1.jpg"}],
    "videos": [{"id": "s1", "url": f"{CDN}/1.mp4"}],
}
URLS = [f"{CDN}/1.mp3", f"{CDN}/1.jpg", f"{CDN}/1.mp4", f"{CDN}/2.mp3"]


def archived(*urls: str | None) -> dict[str, Any]:
    """The data of an event with copies at these addresses."""
    made = {"kind": "", "path": "", "bytes": 1, "sha256": "", "media_type": ""}
    copies = [{**made, "n": n, "url": url} for n, url in enumerate(urls, 1)]
    return {"task_result": SONG, "urls": URLS, "archive": copies}


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("/a.MP4?x=.png", "videos"),
        ("/a.webp#x", "images"),
        ("/a.flac", "audios"),
        ("/a.srt", "texts"),
        ("/a", None),
        ("", None),
    ],
)
def test_the_extension_says_what_a_file_is(url: str, kind: str | None) -> None:
    assert kind_of_file(url and CDN + url) == kind


def test_a_song_is_announced_without_its_cover_and_its_video() -> None:
    found = result_facts(SONG, URLS)
    assert (found.kind, found.urls) == ("audios", [f"{CDN}/1.mp3", f"{CDN}/2.mp3"])
    assert [(each.length_s, each.title) for each in found.made] == [(153.6, "Tide"), (161.0, "")]
    assert found.covers == [f"{CDN}/1.jpg"]
    assert [each.url for each in found.every] == URLS
    assert [each.is_rendition for each in found.every] == [False, True, True, False]


def test_pictures_without_an_id_beside_a_song_are_its_covers() -> None:
    result = {"audios": [{"url": f"{CDN}/1.mp3", "title": "Tide"}], "images": [{"url": f"{CDN}/1.jpg"}]}
    assert result_facts(result, [f"{CDN}/1.jpg", f"{CDN}/1.mp3"]).urls == [f"{CDN}/1.mp3"]


def test_a_3d_model_is_announced_before_pictures_of_it() -> None:
    shown = {"videos": [{"url": f"{CDN}/turn.mp4"}], "images": [{"url": f"{CDN}/front.png"}]}
    models = [f"{CDN}/a.GLB?x=1", f"{CDN}/a.obj"]
    urls = [f"{CDN}/turn.mp4", f"{CDN}/front.png"]
    found = result_facts({**shown, "files": [{"url": url} for url in models]}, [*urls, *models])
    assert (found.kind, found.urls, found.covers) == ("files", [*urls, *models], [f"{CDN}/front.png"])
    assert [each.pictures for each in found.made if each.is_model] == [(f"{CDN}/front.png",)] * 2
    assert result_facts({**shown, "files": [{"url": f"{CDN}/a.json"}]}, [*urls, f"{CDN}/a.json"]).kind == "videos"


def test_a_video_with_a_sound_track_is_a_video() -> None:
    result = {"videos": [{"url": f"{CDN}/1.mp4"}], "audios": [{"url": f"{CDN}/1.mp3"}]}
    found = result_facts(result, [f"{CDN}/1.mp4", f"{CDN}/1.mp3"])
    assert (found.kind, len(found.made)) == ("videos", 2)


def test_a_bare_address_has_the_kind_of_its_extension_or_action() -> None:
    found = result_facts({}, [f"{CDN}/1.png", f"{CDN}/2"], "videos/text2video")
    assert [each.kind for each in found.made] == ["images", "videos"]
    assert result_facts({}, [f"{CDN}/2"]).kind == "files"


def test_an_address_that_was_not_passed_on_is_kept_and_not_announced() -> None:
    found = result_facts({"videos": [{"url": "gs://bucket/1.mp4"}]}, [])
    assert [each.url for each in found.every] == ["gs://bucket/1.mp4"]
    assert found == ResultFacts(every=found.every, made=())


def test_a_cover_at_a_private_host_gives_way_to_the_next_one() -> None:
    item = {"url": f"{CDN}/1.mp4", "cover_url": "http://10.0.0.7/1.jpg", "thumbnail_url": f"{CDN}/t.jpg"}
    assert result_facts({"videos": [item]}, [f"{CDN}/1.mp4"]).covers == [f"{CDN}/t.jpg"]


def test_a_length_that_cannot_be_seconds_is_left_out() -> None:
    items = [{"url": f"{CDN}/{n}.mp4", "duration": value} for n, value in enumerate([5100000, "nan", True, 10**400, 0])]
    assert {each.length_s for each in result_facts({"videos": items}).every} == {None}


@pytest.mark.parametrize("result", [None, [], "x", {"videos": "x"}, {"videos": [None, 7]}, {"others": [{}]}])
def test_unexpected_values_are_not_results(result: Any) -> None:
    assert result_facts(result, result, result) == ResultFacts(every=(), made=())
    assert result_facts(result).kind == ""


def test_a_flood_of_results_is_cut() -> None:
    urls = [f"{CDN}/{n}.png" for n in range(2 * MOST_RESULTS)]
    assert len(result_facts({"images": [{"url": url} for url in urls]}, urls).every) == MOST_RESULTS
    assert len(result_facts({"images": [{"url": url} for url in urls]}).every) == MOST_RESULTS


def test_copies_replace_the_songs_though_the_covers_were_copied_too() -> None:
    data = archived("/c/1.mp3", "/c/2.mp3", "/c/1.jpg", "/c/1.mp4")
    assert with_copies_of(data, result_facts(SONG, URLS)).urls == ["/c/1.mp3", "/c/2.mp3"]


@pytest.mark.parametrize("urls", [(), ("/c/1.mp3",), ("/c/1.mp3", None, "/c/1.jpg")])
def test_results_keep_their_addresses_while_a_copy_of_them_has_none(urls: tuple[str | None, ...]) -> None:
    found = result_facts(SONG, URLS)
    assert with_copies_of(archived(*urls), found) == found


def test_results_get_the_paths_of_their_copies() -> None:
    inside = {"embedded": True, "media_type": "image/png", "bytes": 1, "sha256": "ab"}
    result = {"videos": [{"url": f"{CDN}/1.mp4"}, {"url": "https://cdn.test/2.mp4"}], "images": [inside]}
    copies = [
        CopyMade(kind="", n=n, path=f"{n}", url=f"/c/{n}", bytes=1, sha256="", media_type="")._asdict() for n in (1, 3)
    ]
    found = with_paths_of({"task_result": result, "archive": copies}, result_facts(result, [f"{CDN}/1.mp4"]))
    assert [(each.copy, each.url) for each in found.made] == [("1", f"{CDN}/1.mp4"), ("3", "/c/3")]
