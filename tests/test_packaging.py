"""The contents of an installed genbridge, from the checkout and from the built wheel.

`GENBRIDGE_CHECKOUT` names the checkout when the wheel is tested outside of it. Then nothing may be imported from the
checkout.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bridge

pytestmark = pytest.mark.wheel

PACKAGE = Path(bridge.__file__).parent


@pytest.fixture(scope="module")
def installed() -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution("genbridge")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package was not examined: genbridge is not installed (install it: pip install -e .)")


@pytest.fixture
def checkout() -> Path:
    folder = os.environ.get("GENBRIDGE_CHECKOUT")
    if folder is None:
        pytest.skip("the wheel was not compared with a checkout (.ci/run does it: set GENBRIDGE_CHECKOUT)")
    return Path(folder)


def said_by(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd="/").stdout


def test_version_of_the_distribution_is_that_of_the_package(installed: importlib.metadata.Distribution) -> None:
    assert installed.version == bridge.__version__


def test_the_command_is_called_genbridge(installed: importlib.metadata.Distribution) -> None:
    (script,) = installed.entry_points
    assert (script.group, script.name, script.value) == ("console_scripts", "genbridge", "bridge.__main__:main")
    assert bridge.__version__ in said_by(Path(sys.executable).with_name("genbridge"), "--version")


def test_the_module_is_the_command_too(installed: importlib.metadata.Distribution) -> None:
    assert bridge.__version__ in said_by(sys.executable, "-m", "bridge", "--version")


def test_the_license_is_in_the_wheel(installed: importlib.metadata.Distribution) -> None:
    assert installed.metadata["License-Expression"] == "MIT"
    assert installed.metadata.get_all("License-File") == ["LICENSE"]


def test_the_package_has_its_types_statements_and_descriptions() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert min(path.name for path in (PACKAGE / "store").rglob("*.sql")).startswith("0001_")
    assert (PACKAGE / "providers" / "builtin" / "kling.yaml").exists()
    assert (PACKAGE / "simulator" / "vendors" / "kling" / "created.json").exists()


def test_the_wheel_holds_every_file_of_the_checkout_and_nothing_else(
    installed: importlib.metadata.Distribution, checkout: Path
) -> None:
    assert not PACKAGE.is_relative_to(checkout)
    own = {path for path in (checkout / "bridge").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    shipped = {Path(str(path)) for path in installed.files or () if path.suffix != ".pyc"}
    beside = {path for path in shipped if path.parts[0] != "bridge"}
    assert shipped - beside == {path.relative_to(checkout) for path in own}
    assert {path.parts[0] for path in beside} <= {f"genbridge-{bridge.__version__}.dist-info", ".."}
