"""The forms that the simulated provider speaks: one for each built-in description, under its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.simulator.forms import (
    ark,
    avatar,
    flux,
    jimeng,
    kling,
    kling_v2,
    luma,
    midjourney,
    minimax,
    minimax_v2,
    newapi,
    openai_video,
    replicate,
    runway,
    suno,
    suno_feed,
    unified_v2,
    veo,
    video_query,
    vidu,
)
from bridge.simulator.forms.form import Form

# Where two forms have the same path, the one that is further up has it, unless another is asked for by name.
_ALL: Final = (
    *(kling.FORM, kling_v2.FORM, openai_video.FORM, newapi.FORM, video_query.FORM, unified_v2.FORM),
    *(replicate.FORM, suno.FORM, suno_feed.FORM, midjourney.FORM, flux.FORM, luma.FORM, runway.FORM),
    *(minimax.FORM, minimax_v2.FORM, vidu.FORM, ark.FORM, jimeng.FORM, veo.FORM, avatar.FORM),
)

FORMS: Final[Mapping[str, Form]] = {form.name: form for form in _ALL}
