"""Forms with files stay whole, whatever the texts and files in them are."""

from __future__ import annotations

import hashlib
from email import message_from_bytes
from email.policy import HTTP

from bridge.sinks.attached_files import ResultFile
from bridge.sinks.multipart import FileForm, encoded_form


def test_a_provider_that_knows_the_digest_of_its_file_cannot_add_a_field_with_its_text() -> None:
    content = b"\x89PNG\r\n\x1a\n and more"
    boundary = f"genbridge-{hashlib.sha256(content).hexdigest()[:32]}"
    text = f'fine\r\n--{boundary}\r\nContent-Disposition: form-data; name="chat_id"\r\n\r\n-666'
    file = ResultFile(name="a.png", media_type="image/png", content=content)

    content_type, body = encoded_form(FileForm({"chat_id": "-42", "caption": text}, {"photo": file}))

    whole = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=HTTP)
    names = [part.get_param("name", header="content-disposition") for part in whole.iter_parts()]
    assert names == ["chat_id", "caption", "photo"]


def test_the_same_form_is_encoded_alike_each_time() -> None:
    file = ResultFile(name="a.png", media_type="image/png", content=b"picture")
    form = FileForm({"caption": "done"}, {"photo": file})

    assert encoded_form(form) == encoded_form(form)
