from __future__ import annotations

import pytest

from bridge.domain.secret_headers import header_secrets


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Client", "genbridge"),
        ("X-Title", "My video workshop"),
        ("User-Agent", "genbridge/0.2.0 (Linux)"),
        ("Accept", "application/vnd.example.v2+json, */*;q=0.8"),
        ("HTTP-Referer", "https://videos.example.com/studio"),
        ("X-DashScope-Async", "enable"),
        ("anthropic-version", "2023-06-01"),
        ("X-Region", "us-east-1"),
        ("X-Tenant", "acme-production-eu-west-1"),
        ("X-Since", "2026-11-30T10:00:00Z"),
    ],
)
def test_ordinary_values_of_headers_are_not_secrets(name: str, value: str) -> None:
    assert header_secrets({name: value}) == set()


@pytest.mark.parametrize(
    ("name", "value", "secrets"),
    [
        ("Authorization", "Bearer abc", {"Bearer abc", "abc"}),
        ("authorization", "Basic dXNlcjpwYXNz", {"Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"}),
        ("X-Api-Key", "sesame", {"sesame"}),
        ("xi-api-key", "word", {"word"}),
        ("X-Hook-Token", "open sesame", {"open sesame", "open", "sesame"}),
        ("Cookie", "id=abc; theme=dark", {"id=abc; theme=dark", "id=abc", "theme=dark"}),
        ("X-Password", "hunter", {"hunter"}),
        ("X-Session", "abc", {"abc"}),
        ("X-Client", "k-abc123def456", {"k-abc123def456"}),
        ("X-Client", "of sk_live_51H8abcdEFGH", {"sk_live_51H8abcdEFGH"}),
        ("X-Client", "6fa459ea-ee8a-3ca4-894e-db77e160355e", {"6fa459ea-ee8a-3ca4-894e-db77e160355e"}),
        ("X-Client", "abc-123-def-456-ghi-789", {"abc-123-def-456-ghi-789"}),
        ("X-Client", "abcdefghijklmnopqrstuvwxyz", {"abcdefghijklmnopqrstuvwxyz"}),
        ("X-Client", "Zm9/YmF+cXV/eHl6enk=", {"Zm9/YmF+cXV/eHl6enk="}),
    ],
)
def test_keys_and_whatever_looks_like_one_are_secrets(name: str, value: str, secrets: set[str]) -> None:
    assert header_secrets({name: value}) == secrets
