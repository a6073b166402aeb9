"""What SQL consists of, without its literals and comments."""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple


class Token(NamedTuple):
    """A word, a quoted name, or a mark.

    Attributes:
        text: a word in capitals, or a mark; empty if it is quoted.
        name: a word or a name in small letters; empty for a mark.
    """

    text: str
    name: str = ""


class Tokenizer:
    """Splits SQL into words, quoted names, dots, commas and parentheses.

    Args:
        names: that may be quoted by brackets.
        has_hashes: whether a hash begins a comment.
        has_escapes: whether a backslash escapes a quote in a literal.
    """

    def __init__(
        self, names: Collection[str], *, has_hashes: bool, has_escapes: bool
    ) -> None:
        hashes = r"| \#[^\n]*" if has_hashes else ""
        escape, backslash = (r"| \\.", r"\\") if has_escapes else ("", "")
        in_brackets = "|".join(map(re.escape, names))
        # The server executes what is in comments that begin with an exclamation mark.
        self._pattern = re.compile(
            rf"""
            --[^\n]* | /\*M?!\d* | /\*.*?\*/ {hashes}
            | (?<![\w$]) E'(?: [^'\\] | '' | \\. )*'
            | '(?: [^'{backslash}] | '' {escape} )*'
            | (?<![\w$]) (?P<tag> \$ (?:[^\W\d]\w*)? \$ ) .*? (?P=tag)
            | %\(\w+\)s | [:@]\w+
            | (?P<quoted>
                "(?: [^"{backslash}] | "" {escape} )*"
                | `(?: [^`] | `` )*`
                | \[ (?:{in_brackets}) \] )
            | (?P<word> [\w$]+ )
            | (?P<mark> [.,()] )
            """,
            re.VERBOSE | re.DOTALL | re.IGNORECASE,
        )

    def tokens(self, statement: str) -> Sequence[Token]:
        """All of them, in their order."""
        return list(self._tokens(statement))

    def _tokens(self, statement: str) -> Iterator[Token]:
        for found in self._pattern.finditer(statement):
            word, quoted, mark = found["word"], found["quoted"], found["mark"]
            if word is not None:
                yield Token(word.upper(), word.lower())
            elif quoted is not None:
                end = quoted[-1]
                name = quoted[1:-1].replace(2 * end, end).replace("%%", "%")
                yield Token("", name.lower())
            elif mark is not None:
                yield Token(mark)


def text_at(tokens: Sequence[Token], index: int) -> str:
    """The text of a token; empty beyond the ends."""
    return tokens[index].text if 0 <= index < len(tokens) else ""


def closing(tokens: Sequence[Token], index: int) -> int:
    """Where parentheses are closed that are opened at an index."""
    depth = 0
    for at in range(index, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[at].text, 0)
        if not depth:
            return at
    return len(tokens)


def outside(tokens: Sequence[Token], index: int) -> Iterator[int]:
    """Indexes of the tokens before one, the nearest first.

    Not of those in parentheses that are closed before it.
    """
    depth = 0
    for at in range(index - 1, -1, -1):
        text = tokens[at].text
        depth += text == ")"
        if not depth:
            yield at
        elif text == "(":
            depth -= 1
