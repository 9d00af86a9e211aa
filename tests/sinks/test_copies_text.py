from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.domain.task import Json, Snapshot
from bridge.sinks.human_values import human_size
from bridge.sinks.message_values import ChatStyle, template_values
from bridge.sinks.texts import ChatTexts
from tests.sinks.samples import COPY, archived_sample, task_sample


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_960, "10 kB"),
        (999_499, "999 kB"),
        (999_600, "1.0 MB"),
        (4_194_304, "4.2 MB"),
        (12_345_678_901, "12 GB"),
        (5_000_000_000_000_000, "5000 TB"),
    ],
)
def test_a_size_has_a_unit_that_people_know(size: int, text: str) -> None:
    assert human_size(size) == text


def test_a_message_about_copies_never_names_the_address_at_the_provider() -> None:
    values = template_values(archived_sample(url=None), ChatStyle())
    assert (values["main_urls"], values["links"]) == ([], [])
    assert values["why"] == "2025/11/01/kling/Lighthouse_at_dawn__take_3-1.mp4"


@pytest.mark.parametrize(("archive", "has_link"), [([], False), ([COPY], True)])
def test_a_result_inside_the_answer_has_the_link_of_its_copy(archive: list[Json], has_link: bool) -> None:
    item = {"embedded": True, "media_type": "video/mp4", "bytes": 5, "sha256": "ab"}
    event = task_sample(snapshot=Snapshot(result={"videos": [item]}))
    written = ChatTexts(endpoint="", title=None, body=None, style=ChatStyle(files=True)).write(
        replace(event, data={**event.data, "archive": archive})
    )
    assert (str(COPY["url"]) in written.body) == has_link
    assert ("without a link" in written.body) != has_link
    assert written.card is not None
    assert written.card.has_files == has_link
    assert [each.copy for each in written.card.links] == ([COPY["path"]] if has_link else [])


def test_a_path_cannot_carry_markup() -> None:
    values = template_values(archived_sample(url=None, label="__x__ @everyone"), ChatStyle())
    assert "@everyone" not in str(values["why"])
