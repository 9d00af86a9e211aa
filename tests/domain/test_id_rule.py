"""Which texts are refused as task ids, and the likely cause that the error names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.id_rule import id_problem

FAILED = "did the create call fail?"
PLACEHOLDER = "it is a placeholder from an example"


@pytest.mark.parametrize(
    "task_id",
    [
        *(
            "0123",
            "CjgHPmYAAAAAAAAA",
            "a/b",
            "../x",
            "%2f",
            "a?b#c",
            "a,b",
            "a:b=c",
            "任务-1",
            "🎬",
            "👩\u200d👧",
            "...",
            "-x7",
        ),
        *(
            "a9b3c2d4-0000-4000-8000-00000000000f",
            "CjMT7Wd+/a==",
            "openai:task_AbC123",
            "task_1",
            "null-1",
            "x_id,y",
            "none1",
        ),
        *(
            "models/veo-3.0/operations/abc",
            "cgt-2025-1",
            "video.mp4.1",
            "yaml",
            "nana",
            "idea",
            "ids-1",
            "json-1",
            "no",
            "x" * 512,
        ),
    ],
)
def test_ids_of_providers_pass(task_id: str) -> None:
    assert id_problem(task_id) is None


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("TASK_ID", PLACEHOLDER),
        ("ID", PLACEHOLDER),
        ("ACCOUNT/ID", PLACEHOLDER),
        ("EVENT_ID", PLACEHOLDER),
        ("YOUR_TASK_ID", PLACEHOLDER),
        ("your-task-id", PLACEHOLDER),
        ("your_id_here", PLACEHOLDER),
        ("task_id_here", PLACEHOLDER),
        ("task_id", "header of a CSV file"),
        ("ids", "header of a CSV file"),
        ("<html>502</html>", FAILED),
        ("<?xml version='1.0'?>", FAILED),
        ("502 Bad Gateway<br>", FAILED),
        ("a cat surfing on a wave", FAILED),
        ("Error: 502 Bad Gateway", FAILED),
        ("curl: (6) Could not resolve host: api", FAILED),
        ("null", FAILED),
        ("一只 猫", FAILED),
        ("a\u00a0b", FAILED),
        ("tasks.yaml", "a file name: use `genbridge add - < tasks.yaml`"),
        ("./queue/ids.TXT", "a file name: use `genbridge add - < ./queue/ids.TXT`"),
        ("$(x).json", "a file name: use `genbridge add - < tasks.yaml`"),
        ('"x",', "remove everything around the id"),
        ("'x'", "remove everything around the id"),
        ("“x”", "remove everything around the id"),
        ("x,", "a comma at the end is not allowed in an id; remove it"),
        ('{"code": 0}', "it looks like JSON: name the file .json"),
        ('"id": "x",', "it looks like JSON"),
        ("- x", "a list item: remove the bullet"),
        ("* x", "a list item: remove the bullet"),
        ("1. x", "a numbered list: remove the number"),
        ("2) x", "a numbered list: remove the number"),
        ("csv-1;Shot 1", "a CSV row: name the file .csv"),
        ("csv-1, Shot 1", "a CSV row: name the file .csv"),
        ("id: x", "it looks like YAML"),
        ("id,label", "the header of a CSV file"),
        ("id|account|label", "the header of a CSV file"),
        ("x\u200b", "U+200B"),
        ("x\u200dy", "U+200D"),
        ("NULL", FAILED),
        ("nan", FAILED),
        ("jq: error (at <stdin>:1): Cannot index string", "an error message: did the create call fail?"),
        ("id", "the header of a CSV file"),
        ("task_id,status", "name the columns id, account, ..."),
        ("status;task_id", "the header of a CSV file"),
        ("task_id=x7", "keep only the id"),
        ("id:x7", "keep only the id"),
        ("${TASK_ID}", "is the variable set?"),
        ("$TASK_ID", "is the variable set?"),
        ("{{task_id}}", "is the variable set?"),
        ("<task_id>", "is the variable set?"),
        ("s3://bucket/key", "a URL of another service"),
        ("www.example.com/x", "a URL of another service"),
        ("---", "a separator line"),
        ("|---|---|", "a separator line"),
        ("cat.mp4", "a file name: write the ids into"),
        ("ids.xlsx", "a file name: write the ids into"),
    ],
)
def test_text_passed_by_mistake_is_refused_with_the_likely_cause(text: str, cause: str) -> None:
    problem = id_problem(text)
    assert problem is not None
    assert cause in problem


@given(
    st.text(min_size=1, max_size=40), st.sampled_from([" ", "\u3000", '"', "'", "<", ">", ";"]), st.text(max_size=40)
)
def test_no_id_contains_blanks_quotes_angle_brackets_or_semicolons(before: str, char: str, after: str) -> None:
    assert id_problem(before + char + after + "x") is not None
