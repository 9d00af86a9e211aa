"""Templates whose work grows with their values fail in bounded time and memory."""

from __future__ import annotations

import resource
from typing import Final

import pytest

from bridge.sinks.template_payloads import JsonTemplate
from bridge.sinks.templates import TemplateFault, TextTemplate
from tests.stopwatch import within_cpu_s

NAMES: Final = ("text", "numbers", "data", "urls")
URLS: Final = [f"https://cdn.example.com/{at}/{'b' * 200}" for at in range(200)]
VALUES: Final = {
    "text": "a" * 1000,
    "numbers": list(range(1000)),
    "data": {"long": "y" * 100_000, "items": [{"n": at, "t": str(at)} for at in range(500)]},
    "urls": URLS,
}
SLOW: Final = {
    "joining by ~": "{% set x = text %}" + "{% set x = x ~ x %}" * 30 + "{{ x | length }}",
    "adding texts": "{% set x = text %}" + "{% set x = x + x %}" * 30 + "{{ x | length }}",
    "adding lists": "{% set x = numbers %}" + "{% set x = x + x %}" * 30 + "{{ x | length }}",
    "joining": "{% set x = text %}" + "{% set x = [x, x] | join %}" * 30 + "{{ x | length }}",
    "a long separator": "{% set x = text %}{{ numbers | join(x * 20) | length }}" * 50,
    "replacing": "{% set x = text %}" + "{% set x = x | replace('a', 'aaaaaaaaaa') %}" * 9 + "{{ x | length }}",
    "replacing a constant": "{{ 'aaaaaaaaaa'" + " | replace('a', 'aaaaaaaaaa')" * 9 + " | length }}",
    "the same list many times": "{% set x = [1] %}" + "{% set x = [x, x] %}" * 40 + "{{ x }}",
    "comparing": "{% set x = [1] %}" + "{% set x = [x, x] %}" * 40 + "{% set y = [x[0], x[1]] %}{{ x == y }}",
    "a set block": "{% set x = text %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 30 + "{{ x | length }}",
    "sorting in a loop": "{% for n in numbers %}{{ (numbers * 10) | sort | length }}{% endfor %}",
    "searching in a loop": "{% for n in numbers %}{{ numbers | select('in', numbers) | list | length }}{% endfor %}",
    "splitting in a loop": "{% for n in numbers %}{{ data.long.split('y') | length }}{% endfor %}" * 10,
    "slicing in a loop": "{% for n in numbers %}{% for m in urls[:9] %}{{ urls[:] | length }}{% endfor %}{% endfor %}",
    "much text in a loop": "{% set x %}{% for n in numbers %}{% for m in range(9) %}"
    + "x" * 9000
    + "{% endfor %}{% endfor %}{% endset %}{{ x | length }}",
    "a sum of lists": "{{ [numbers, numbers] | sum(start=[]) }}",
}


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("source", SLOW.values(), ids=SLOW.keys())
@pytest.mark.parametrize("kind", [TextTemplate, JsonTemplate])
def test_too_much_work_is_an_error_in_bounded_time_and_memory(
    source: str, kind: type[TextTemplate] | type[JsonTemplate]
) -> None:
    before_kb = _peak_kb()

    def render() -> None:
        with pytest.raises(TemplateFault):
            kind(source, names=NAMES).render(VALUES)

    within_cpu_s(1.0, render)

    assert _peak_kb() - before_kb < 64 << 10


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ text ~ 1 ~ data.none | default('x') }}", "a" * 1000 + "1x"),
        ("{{ 'a' ~ 'b' }}", "ab"),
        ("{{ 1 + 2 }} {{ 'a' + 'b' }}", "3 ab"),
        ("{{ 1 < 2 <= 2 and 'a' in 'abc' and 5 not in [1] }}", "True"),
        ("{{ numbers[2:5] }} {{ text[:3] }}", "[2, 3, 4] aaa"),
        ("{{ numbers | sum }} {{ [1, 2] | sum(start=3) }}", "499500 6"),
        ("{{ urls | join('\\n') | length }}", str(len("\n".join(URLS)))),
        ("{{ data['items'] | map(attribute='t') | select('eq', '7') | join(',') }}", "7"),
        ("{{ data['items'] | sort(attribute='n', reverse=true) | first }}", "{'n': 499, 't': '499'}"),
        ("{% for n in numbers[:3] %}{{ loop.index }}{{ loop.cycle('a', 'b') }} {% endfor %}", "1a 2b 3a "),
    ],
)
def test_ordinary_templates_give_what_jinja_gives(source: str, text: str) -> None:
    found = TextTemplate(source, names=NAMES).render(VALUES)

    assert found == text


def test_a_large_event_is_written_whole() -> None:
    values = VALUES | {"data": {"input": "z" * 1_000_000}}

    assert JsonTemplate('{"d": {{ data }}, "t": {{ data | tojson }}}', names=NAMES).render(values) == {
        "d": values["data"],
        "t": values["data"],
    }


def _peak_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
