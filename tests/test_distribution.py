"""How tests are distributed over processes. Files whose tests run together are not."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

pytestmark = pytest.mark.together

done: list[str] = []


@pytest.mark.parametrize("number", range(4))
def test_the_tests_of_one_file_run_together(number: int, request: pytest.FixtureRequest) -> None:
    done.append(request.node.name)
    selected = [item.name for item in request.session.items if item.path == request.path]
    assert done == selected[: len(done)]


def test_what_a_process_has_finished_is_forgotten(pytestconfig: pytest.Config) -> None:
    pytest.importorskip("xdist")
    from tests.distribution import Distribution

    process = Mock(shutting_down=False)
    scheduler = Distribution(Mock(rootpath=pytestconfig.rootpath, getvalue=lambda name: ["popen"]), Mock(), together=())
    tests = [f"tests/test_docs.py::test_{number}" for number in range(9)]
    scheduler.assigned_work[process] = {}
    scheduler.registered_collections[process] = scheduler.collection = tests
    scheduler.workqueue.update({one: {one: False} for one in tests})
    scheduler._reschedule(process)
    for number in range(5):
        scheduler.mark_test_complete(process, number)
    assert list(scheduler.assigned_work[process]) == tests[5:6]
