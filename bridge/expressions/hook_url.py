"""A webhook URL with Jinja expressions: splits it, and checks where expressions are allowed."""

from __future__ import annotations

from typing import Final, NamedTuple

_BLOCKS: Final = {"block_begin", "raw_begin", "comment_begin", "comment"}


class Piece(NamedTuple):
    """Literal text, or the source of an expression between `{{` and `}}`."""

    text: str
    is_expression: bool


def has_expression(url: str) -> bool:
    """Whether the URL contains Jinja syntax."""
    return "{{" in url or "{%" in url or "{#" in url


def pieces_of(url: str) -> list[Piece]:
    """The pieces of the URL, in order. ValueError, with a message for people, if it is not a template, or if an
    expression is outside path and query: no task may decide which host gets a request."""
    pieces = _split(url)
    first = next((place for place, piece in enumerate(pieces) if piece.is_expression), None)
    if first is None:
        return pieces
    begin = pieces[0].text.partition("://")[2] if first else ""
    if not any(mark in begin for mark in "/?"):
        raise ValueError("has an expression in its scheme, host or port; only path and query may have one")
    if any("#" in piece.text for piece in pieces if not piece.is_expression):
        raise ValueError("has a fragment (#), which is never sent; leave it out")
    return pieces


def plain_url(url: str, value: str = "x") -> str:
    """The URL with each expression replaced by this value. ValueError as for `pieces_of`."""
    return "".join(value if piece.is_expression else piece.text for piece in pieces_of(url))


def _split(url: str) -> list[Piece]:
    import jinja2  # here, because few URLs have expressions

    lexer = jinja2.Environment(autoescape=True)  # used only for splitting
    pieces: list[Piece] = []
    source: list[str] | None = None
    try:
        for _, kind, text in lexer.lex(url):
            if kind in _BLOCKS:
                raise ValueError("has a Jinja statement or comment; a URL may only have expressions {{ ... }}")
            if kind == "variable_begin":
                source = []
            elif kind == "variable_end":
                pieces.append(Piece("".join(source or []).strip(), True))
                source = None
            elif source is None:
                pieces.append(Piece(text, False))
            else:
                source.append(text)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"is not a Jinja template: {error.message}") from None
    if source is not None:
        raise ValueError("holds {{ without }}")
    return pieces
