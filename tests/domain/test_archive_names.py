from __future__ import annotations

import re

import pytest

from bridge.domain.archive_names import COPIED_KINDS, CopyMade, due_first, mark, spool_name, stems, wanted_copies

EVENT = "evt_4dxc3z7p7elwmup3ee6qjbyxrsb75n6w"


def test_a_name_is_the_label_or_else_the_id() -> None:
    data = {"task_id": "t/1", "label": "Trailer, take 3", "account": "kling", "ended_at": 1_762_000_125_500}
    assert stems(data, event_id=EVENT) == (
        "2025/11/01/kling/Trailer__take_3",
        "2025/11/01/kling/Trailer__take_3-4dxc3z7p",
    )
    assert stems({**data, "label": None}, event_id=EVENT)[0] == "2025/11/01/kling/t_1"


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("猫 1", "猫_1"),
        ("..", "task"),
        (".hidden", "hidden"),
        ("--rf", "rf"),
        ("a/../b", "a_.._b"),
        ("a\u202eb\0c\nd", "a_b_c_d"),
        ("e\u0301", "\u00e9"),
    ],
)
def test_a_name_has_only_letters_digits_and_three_signs(label: str, name: str) -> None:
    assert stems({"label": label, "account": "a", "ended_at": 0}, event_id=EVENT)[0] == f"1970/01/01/a/{name}"


def test_a_name_is_cut_between_characters() -> None:
    for stem in stems({"label": "猫" * 200, "account": "a", "ended_at": 0}, event_id=EVENT):
        name = stem.rpartition("/")[2]
        assert len(f"{name}-9999-{mark(EVENT)}.data.json".encode()) <= 120
        assert set(name.removesuffix(f"-{mark(EVENT)}")) == {"猫"}


def test_results_are_numbered_whichever_kinds_are_copied() -> None:
    result = {
        "videos": [{"url": "https://a/1"}, {"embedded": True}, {"url": "gs://b/2"}, "odd"],
        "images": [{"url": "https://a/3", "needs_key": True}],
        "texts": [{"url": "https://a/4"}],
        "files": [{"url": "http://a/5"}],
    }
    data = {"task_result": result}
    found = [(one.n, one.url, one.needs_key) for one in wanted_copies(data, ["videos", "images", "audios", "files"])]
    assert found == [
        *((1, "https://a/1", False), (2, "https://a/3", True)),
        *((3, "https://a/4", False), (4, "http://a/5", False)),
    ]
    assert [one.n for one in wanted_copies(data, ["files"])] == [3, 4]
    assert list(wanted_copies({"task_result": None}, ["files"])) == []


def test_files_that_were_inside_the_answer_are_numbered_last() -> None:
    inside = {"embedded": True, "media_type": "image/png", "bytes": 3}
    result = {
        "videos": [inside, {"url": "https://a/1"}],
        "images": ({"url": "https://a/2"}, {**inside, "sha256": "ab"}),
        "texts": [inside],
    }
    found = list(wanted_copies({"task_result": result}, COPIED_KINDS))
    assert [(one.n, one.kind, one.place, one.mark) for one in found] == [
        (1, "videos", 0, "https://a/1"),
        (2, "images", 0, "https://a/2"),
        (3, "videos", 0, ""),
        (4, "images", 1, "sha256:ab"),
    ]
    assert [one.n for one in wanted_copies({"task_result": result}, ["images"])] == [2, 4]


def test_the_name_of_a_kept_file_follows_from_its_task_and_place() -> None:
    names = [
        spool_name("kling", "t-1", "images", 0),
        spool_name("kling", "t-1", "images", 1),
        spool_name("kling", "t-2", "images", 0),
        spool_name("klin", "gt-1", "images", 0),
    ]
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"inside-[a-z2-7]{24}-images-\d", name) for name in names)


def test_a_copy_is_read_as_it_was_written() -> None:
    made = CopyMade(kind="videos", n=1, path="a-1.mp4", url=None, bytes=3, sha256="ab", media_type="video/mp4")
    assert CopyMade.parse(made._asdict()) == made
    assert CopyMade.parse({"kind": "videos"}) is None
    assert CopyMade.parse("odd") is None


def test_copies_are_ordered_by_expiry_and_always_due_at_once() -> None:
    instants = [0, 1_762_000_000_000, 1_762_000_000_500, 1_999_999_999_999_999, None, True, "odd"]
    found = [due_first(one) for one in instants]
    assert found == sorted(found)
    assert found[1] < found[2] < 0.0
    assert found[3:] == [0.0] * 4
