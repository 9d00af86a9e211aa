"""Jimeng, direct (signed) or through an aggregator: everything is a POST, told apart by the query."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from functools import reduce
from hashlib import sha256
from typing import Final

from bridge.simulator.forms.form import Create, Form, Json, Query, Reply, Sent, saying, worded
from bridge.simulator.forms.newapi import UNAUTHORIZED
from bridge.simulator.tasks import Ending, View

_PROOF: Final = re.compile(
    r"HMAC-SHA256 Credential=[^/]+/(\d{8}/[^/]+/[^/]+/request), SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)
_STATUS: Final = worded("in_queue", "generating", "done", "failed")
_PATHS: Final = ("/jimeng/", "/jimeng", "/")
_VERSION: Final = {"Version": "2022-08-31"}


# What Volcengine's front door says, in a form of its own, before any service of its is asked.
_UNSIGNED: Final = Reply(
    status=401,
    body={
        "ResponseMetadata": {
            "RequestId": "simulated",
            "Action": "CVSync2AsyncGetResult",
            **_VERSION,
            "Service": "cv",
            "Region": "cn-north-1",
            "Error": {
                "CodeN": 100010,
                "Code": "SignatureDoesNotMatch",
                "Message": "The request signature we calculated does not match the signature you provided.",
            },
        }
    },
)


def _body(code: int, message: str, data: Json = None) -> Json:
    return {"code": code, "data": data, "message": message, "status": code, "time_elapsed": "20ms"}


def _created(view: View) -> Json:
    return _body(10000, "Success", {"task_id": view.task.task_id})


def _task(view: View) -> Json:
    """A failure is any other code, with its reason."""
    if view.message:
        return _body(50411, view.message)
    is_image = view.ending is Ending.IMAGES
    data = {
        "status": _STATUS(view),
        "video_url": "" if is_image else view.url,
        "resp_data": "{}" if view.is_done else "",
        "image_urls": view.urls if is_image and view.is_done else None,
        "binary_data_base64": [],
    }
    return _body(10000, "Success", data)


def _request_id(number: int) -> Mapping[str, Json]:
    return {"request_id": f"simulated-{number}"}


def _is_signed(sent: Sent, secret_key: str) -> bool:
    """Whether the request is signed in Volcengine's way with this key, by whomever. Its age does not matter here."""
    proof = _PROOF.fullmatch(sent.headers.get("authorization", ""))
    if proof is None or sha256(sent.body).hexdigest() != sent.headers.get("x-content-sha256"):
        return False
    scope, names, signature = proof.groups()
    lines = [f"{name}:{sent.headers.get(name, '').strip()}\n" for name in names.split(";")]
    query = "&".join(sorted(sent.query.split("&")))
    parts = (sent.method, sent.path, query, "".join(lines), names, sha256(sent.body).hexdigest())
    whole = sha256("\n".join(parts).encode()).hexdigest()
    key = reduce(_hmac, scope.split("/"), secret_key.encode())
    expected = _hmac(key, "\n".join(("HMAC-SHA256", sent.headers.get("x-date", ""), scope, whole))).hex()
    return hmac.compare_digest(expected, signature)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


FORM: Final = Form(
    name="jimeng",
    calls=(
        Create(paths=_PATHS, query={"Action": "CVSync2AsyncSubmitTask", **_VERSION}, answer=_created),
        Query(
            method="POST",
            paths=_PATHS,
            query={"Action": "CVSync2AsyncGetResult", **_VERSION},
            id="task_id",
            answer=_task,
        ),
    ),
    makes=(Ending.VIDEOS, Ending.IMAGES),
    new_id=lambda number: f"{number:019d}",
    unauthorized=UNAUTHORIZED,
    is_signed=_is_signed,
    unsigned=_UNSIGNED,
    not_found=Reply(body=_body(10000, "Success", {"status": "not_found"})),
    limited=Reply(status=429, body=_body(50429, "Request Has Reached API Limit")),
    bad_request=saying(400, lambda reason: _body(50200, reason)),
    stamp=_request_id,
)
