"""Files whose tests run together are not distributed over processes."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.together

done: list[str] = []


@pytest.mark.parametrize("number", range(4))
def test_the_tests_of_one_file_run_together(number: int, request: pytest.FixtureRequest) -> None:
    done.append(request.node.name)
    selected = [item.name for item in request.session.items if item.path == request.path]
    assert done == selected[: len(done)]
