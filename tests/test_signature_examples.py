"""The functions of docs/signatures.md check real signatures, in each language that is installed here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from standardwebhooks import Webhook

PAGE: Final = (Path(__file__).parents[1] / "docs/signatures.md").read_text()
SECRET: Final = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
BODY: Final = '{"topic": "task_succeeded", "data": {"label": "\u6d77"}}'

RUN_PYTHON: Final = """
import json, sys
case = json.load(sys.stdin)
print(json.dumps([verify(*each[:2], each[2].encode()) for each in case]))
"""
RUN_NODE: Final = """
const cases = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map(([secret, headers, body]) => verify(secret, headers, Buffer.from(body)))));
"""
RUN_PHP: Final = """
$cases = json_decode(stream_get_contents(STDIN), true);
echo json_encode(array_map(fn($one) => verify($one[0], $one[1], $one[2]), $cases));
"""
RUN_GO: Final = """
func main() {
	var cases [][3]json.RawMessage
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	found := []bool{}
	for _, one := range cases {
		var secret, body string
		var headers map[string]string
		json.Unmarshal(one[0], &secret)
		json.Unmarshal(one[1], &headers)
		json.Unmarshal(one[2], &body)
		found = append(found, Verify(secret, headers, []byte(body)))
	}
	json.NewEncoder(os.Stdout).Encode(found)
}
"""


def example(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def program(language: str, folder: Path) -> list[str]:
    """The command that reads cases as JSON and prints which of them are right."""
    code = example(language)
    match language:
        case "python":
            return [sys.executable, "-c", code + RUN_PYTHON]
        case "js":
            return ["node", "-e", code + RUN_NODE]
        case "php":
            return ["php", "-r", code + RUN_PHP]
    code = code.replace("package hook", "package main").replace("import (", 'import (\n\t"encoding/json"\n\t"os"')
    (folder / "main.go").write_text(code + RUN_GO)
    return ["go", "run", str(folder / "main.go")]


def signed(*, at: float, secret: str = SECRET) -> dict[str, str]:
    signature = Webhook(secret).sign("evt_1", datetime.fromtimestamp(int(at), UTC), BODY)
    return {"webhook-id": "evt_1", "webhook-timestamp": str(int(at)), "webhook-signature": signature}


@pytest.mark.real
@pytest.mark.parametrize(
    ("language", "command", "package"),
    [
        ("python", "python3", "python3"),
        ("js", "node", "nodejs"),
        ("go", "go", "golang-go"),
        ("php", "php", "php-cli"),
    ],
)
def test_the_example_accepts_only_signed_webhooks(language: str, command: str, package: str, tmp_path: Path) -> None:
    if shutil.which(command) is None:
        pytest.skip(f"the example in {language} was not run: no {command} (install {package})")
    now = time.time()
    good = signed(at=now)
    rotated = {**good, "webhook-signature": f"v1,AAAA {good['webhook-signature']}"}
    cases = [
        (True, SECRET, good, BODY),
        (True, SECRET, rotated, BODY),
        (False, SECRET, good, BODY + " "),
        (False, SECRET, {**good, "webhook-id": "evt_2"}, BODY),
        (False, SECRET, {**good, "webhook-signature": "v1,AAAA"}, BODY),
        (False, SECRET, signed(at=now - 900), BODY),
        (False, SECRET, signed(at=now, secret="whsec_" + "QUJD" * 8), BODY),
    ]
    told = json.dumps([case[1:] for case in cases])
    run = program(language, tmp_path)
    done = subprocess.run(run, input=told, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [case[0] for case in cases]
