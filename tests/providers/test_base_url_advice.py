"""Base URLs that repeat the beginning of the provider's path."""

from __future__ import annotations

import pytest

from bridge.providers.base_url_advice import repeated_path
from bridge.providers.catalogue import BUILT_IN


@pytest.mark.parametrize(
    ("provider", "base_url", "part", "instead"),
    [
        ("openai_video", "https://api.example.com/v1", "/v1", "https://api.example.com"),
        ("openai_video", "https://api.example.com/v1/", "/v1", "https://api.example.com"),
        ("openai_video", "https://api.example.com/v1/videos", "/v1/videos", "https://api.example.com"),
        ("openai_video", "https://api.example.com:8443/team/v1", "/v1", "https://api.example.com:8443/team"),
        ("kling", "https://api.example.com/kling", "/kling", "https://api.example.com"),
        ("kling", "https://api-beijing.klingai.com/v1", "/v1", "https://api-beijing.klingai.com"),
        (
            "veo",
            "https://generativelanguage.googleapis.com/v1beta",
            "/v1beta",
            "https://generativelanguage.googleapis.com",
        ),
    ],
)
def test_the_right_url_is_suggested_if_base_url_repeats_the_path(
    provider: str, base_url: str, part: str, instead: str
) -> None:
    assert repeated_path(BUILT_IN[provider], base_url) == (part, instead)


@pytest.mark.parametrize(
    ("provider", "base_url"),
    [
        ("openai_video", "https://api.example.com"),
        ("openai_video", "https://api.example.com/proxy/openai"),
        ("kling", "https://api-beijing.klingai.com"),
        ("kling", "https://api.example.com/v1"),
        ("midjourney", "https://api.example.com/mj-fast"),
    ],
)
def test_a_matching_base_url_causes_no_warning(provider: str, base_url: str) -> None:
    assert repeated_path(BUILT_IN[provider], base_url) is None
