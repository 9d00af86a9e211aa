"""Recognizes texts that are probably no task ids but were passed by mistake, and names the likely cause.

Ids of providers hold no whitespace, quotes, `<`, `>` or `;`. Error pages, prompts and table rows do.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from bridge.domain.quoting import EMOJI_JOINER

TASK_KEYS: Final = ("id", "account", "action", "label", "meta", "endpoints", "give_up_after")  # of a task in a file
FILE_SUFFIXES: Final = (".yaml", ".yml", ".json", ".jsonl", ".txt", ".csv")  # of files with tasks
_QUOTES: Final = "\"'`\u2018\u2019\u201a\u201c\u201d\u201e\u2039\u203a\u00ab\u00bb"
_COMMAS: Final = ",\uff0c"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_:/=+~-]+")  # most ids; they need no other check
_REFUSED: Final = rf"[\s<>;{_QUOTES}]|[{_COMMAS}]\Z"
_KEY: Final = f"(?:{'|'.join(TASK_KEYS)})"
_COLUMN: Final = "(?:task_?)?ids?"
# Placeholders of docs: TASK_ID, YOUR_TASK_ID, ACCOUNT/ID. Lower case counts only with "your" or "here", because a lone
# `id` is the header of a CSV column.
_PLACEHOLDER: Final = (
    r"(?-i:(?:ACCOUNT/)?(?:(?:TASK|EVENT)[-_]?)?IDS?)|your[-_]?(?:task[-_]?)?ids?(?:[-_]here)?|(?:task[-_]?)?id[-_]here"
)
_FILE: Final = rf"\S+(?:{'|'.join(map(re.escape, FILE_SUFFIXES))})"
_SUSPECT: Final = re.compile(
    rf"{_COLUMN}(?:[:=]|\Z)|{_PLACEHOLDER}\Z|[a-z][a-z0-9+-]*://|[-=+_]{{3,}}\Z|(?:n|undef)[a-z]+\Z", re.IGNORECASE
)

# The patterns of invalid ids are compiled when they are first needed. These match whole texts that are not ids although
# each of their characters is allowed.
_WHOLES: Final = (
    (r"null|none|nil|nan|undefined", "scripts print this if there is no id: did the create call fail?"),
    (
        _PLACEHOLDER,
        "it is a placeholder from an example: write the id that the provider gave you",
    ),
    (
        rf"{_COLUMN}(?:[,;|]\w+)*|\w+(?:[,;|]\w+)*[,;|](?:task_)?id(?:[,;|]\w+)*|{_KEY}(?:[,;|]{_KEY})+",
        "it looks like the header of a CSV file: remove it, or name the columns id, account, ... and the file .csv",
    ),
    (rf"{_COLUMN}[:=]\S+", "it looks like a key with its value: keep only the id"),
    (r"\$\w+|[$%]?\{+\w+\}+|<(?:your[-_])?(?:task[-_]?)?id>", "it looks like a placeholder: is the variable set?"),
    (r"(?:[a-z][a-z0-9+-]*://|www\.)\S+", "it looks like a URL of another service: give only the id"),
    (r"[-=*_|+#]{3,}", "it looks like a separator line: remove it"),
    (
        r"\S+\.(?:tsv|xlsx?|docx?|pdf|md|log|html?|zip|part|tmp|bak|mp4|mov|webm|mp3|wav|png|jpe?g|webp|gif)",
        "a file name: write the ids into a .txt, .csv or .yaml file",
    ),
)

# The likely cause and the fix, by how the text begins. The first match counts.
_CAUSES: Final = (
    (
        r"(?:id|task|task_id|account|action|label|tasks):\s",
        "it looks like YAML: name the file .yaml, or keep only the id",
    ),
    (r"[A-Za-z][\w./-]*:\s", "it looks like an error message: did the create call fail?"),
    (r"\s*<|[^<]*</?[A-Za-z]", "it looks like HTML: did the create call fail?"),
    (r'[\[{]|"[^"]*":', "it looks like JSON: name the file .json, or pipe the whole text to `genbridge add -`"),
    (r"[-*+\u2022\u00b7]\s", "it looks like a list item: remove the bullet, or name the file .yaml"),
    (r"\(?[0-9]+[.):]\s", "it looks like a numbered list: remove the number"),
    (r"[^;]*;|[^\s,]+,\s*[^\s,]+", "it looks like a CSV row: name the file .csv, or keep only the id"),
    (rf"[^\s{_QUOTES}]+[{_COMMAS}]\Z", "remove it"),
    (rf"[{_QUOTES}]?[^\s{_QUOTES}<>]+[{_QUOTES}]?[{_COMMAS}]?\Z", "remove everything around the id"),
    (r"", "it looks like text: did the create call fail? Write each id on its own line"),
)


def id_problem(task_id: str) -> str | None:
    """Why this is probably no task id, with the likely cause and the fix; None when it may be one."""
    if _PLAIN.fullmatch(task_id) and not _SUSPECT.match(task_id):
        return None
    if re.fullmatch(_FILE, task_id, re.IGNORECASE):
        name = task_id if re.fullmatch(r"[\w./-]+", task_id) else "tasks.yaml"
        return f"a file name: use `genbridge add - < {name}`"
    for whole, cause in _WHOLES:
        if re.fullmatch(whole, task_id, re.IGNORECASE):
            return cause
    refused = re.search(_REFUSED, task_id)
    if refused is None:
        shown = EMOJI_JOINER.sub("", task_id)
        hidden = next((char for char in shown if unicodedata.category(char) == "Cf"), None)
        return hidden and f"the invisible character U+{ord(hidden):04X} is not allowed in an id: remove it"
    cause = next(cause for start, cause in _CAUSES if re.match(start, task_id))
    return f"{_named(refused[0])} not allowed in an id; {cause}"


def _named(char: str) -> str:
    if char.isspace():
        return "blanks are"
    if char in _QUOTES:
        return "quotes are"
    return "a comma at the end is" if char in _COMMAS else f"{char} is"
