"""Random requests from the OpenAPI document cause no bug and get no undocumented answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from bridge.http.openapi import openapi
from bridge.http.web_app import API
from tests.http.site import TOKEN, running_site

SHIPPED: Final = Path(__file__).parents[2] / "docs/openapi.json"
CHECKS: Final = ",".join(
    (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "missing_required_header",
        "unsupported_method",
        "ignored_auth",
    )
)  # not positive_data_acceptance: a schema cannot say which ids and times are valid

NO_LONG_WAITS: Final = '''
import schemathesis

@schemathesis.hook
def filter_query(context, query):
    """An answer may take five minutes if the request asks for that."""
    wait = (query or {}).get("wait")
    return not isinstance(wait, (int, float)) or not 1 < wait <= 300
'''


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("unmeasured_programs")
def test_random_requests_find_no_bug_and_no_undocumented_answer(tmp_path: Path) -> None:
    with running_site(tmp_path, http={"read_token": None}) as site:
        options = [
            "--checks",
            CHECKS,
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            "60",
        ]
        command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{site.url}/openapi.json", "-w", "1"]
        (tmp_path / "no_long_waits.py").write_text(NO_LONG_WAITS)
        command += ["--exclude-path-regex", "/(events|changes)$"]  # they never end
        bearer = ["-H", f"Authorization: Bearer {TOKEN}"]
        found = subprocess.run(
            [*command, *bearer, *options],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "no_long_waits", "PYTHONPATH": str(tmp_path)},
        )
        assert found.returncode == 0, found.stdout[-8000:]
        assert site.daemon.process.poll() is None
        assert "http.bug" not in site.daemon.log.read_text()


def test_the_shipped_document_is_the_one_that_is_served(tmp_path: Path) -> None:
    shipped = json.loads(SHIPPED.read_text())
    with running_site(tmp_path) as site:
        served = site.reader.get("/openapi.json").json()
    for document in (served, shipped):
        for operation in (each for path in document["paths"].values() for each in path.values()):
            for status in {"413", "422"} & operation["responses"].keys():
                del operation["responses"][status]["description"]  # Python 3.13 has newer names for these two
    assert served == shipped, "write it again: python -m tests.http.test_schema"
    assert {(route.method.lower(), route.path) for route in API} <= {
        (method, path) for path, operations in served["paths"].items() for method in operations
    }
    assert openapi(API)["openapi"] == "3.1.0"


def test_the_types_of_generated_clients_allow_what_the_api_allows() -> None:
    """openapi-typescript makes a key with a default a required one, and an object without keys an empty one."""
    document = openapi(API)
    models = document["components"]["schemas"].values()
    assert not [
        key for model in models for key in model.get("properties", {}).values() if key.get("default", 0) is None
    ]
    body = document["paths"]["/api/v1/tasks"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    objects = [each for each in body["anyOf"] if each["type"] == "object"]
    assert objects[0]["properties"]["meta"]["additionalProperties"] is True
    assert objects[1] == {"type": "object", "additionalProperties": True}
    assert document["paths"]["/healthz"]["get"]["security"] == []
    assert "Last-Event-ID" in [each["name"] for each in document["paths"]["/api/v1/events"]["get"]["parameters"]]


if __name__ == "__main__":
    import tempfile

    with running_site(Path(tempfile.mkdtemp())) as fresh:
        SHIPPED.write_text(json.dumps(fresh.reader.get("/openapi.json").json(), indent=1) + "\n")
