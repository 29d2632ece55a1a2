"""Reads a Logs Insights query; what is not known of the language is an error."""

from collections.abc import Callable
from typing import TypeVar

from tests.insights.insights_literals import LITERALS, glob_regex, named_groups
from tests.insights.insights_syntax import (
    Call,
    Column,
    Command,
    Dedup,
    Display,
    Expression,
    Fields,
    Filter,
    InsightsError,
    Limit,
    Name,
    Negation,
    Operation,
    Parse,
    Period,
    Query,
    Sort,
    Star,
    Stats,
)
from tests.insights.insights_tokens import END, Token, tokens

Item = TypeVar("Item")

# From what binds least to what binds most.
LEVELS = (("or",), ("and",), ("=", "!=", "<", "<=", ">", ">=", "like"), ("+", "-"), ("*", "/", "%"))
KEYWORDS = {"and", "or", "not", "like", "as", "by", "asc", "desc", "SOURCE"}


def parse_query(text: str) -> Query:
    """Returns the query as a tree.

    Raises:
        InsightsError: it is not in the known part of the language.
    """
    return _Parser(list(tokens(text))).query()


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._place = 0
        self._readers: dict[str, Callable[[], Command]] = {
            "fields": lambda: Fields(self._listed(self._made)),
            "display": lambda: Display(self._listed(self._name)),
            "filter": lambda: Filter(self._expression()),
            "parse": self._parse,
            "stats": self._stats,
            "sort": lambda: Sort(self._listed(self._key)),
            "limit": lambda: Limit(int(self._take("number"))),
            "dedup": lambda: Dedup(self._listed(self._name)),
        }

    def query(self) -> Query:
        log_group = ""
        if self._accept("SOURCE"):
            log_group = self._take("text")[1:-1]
            self._expect("|")
        commands = [self._command()]
        while self._accept("|"):
            commands.append(self._command())
        if self._next is not END:
            raise InsightsError(f"not understood: {self._next.text!r}")
        return Query(log_group, tuple(commands))

    def _command(self) -> Command:
        name = self._take("name")
        if name not in self._readers:
            raise InsightsError(f"an unknown command: {name!r}")
        return self._readers[name]()

    def _parse(self) -> Parse:
        source = self._expression()
        if self._next.kind == "regex":
            return Parse(source, *named_groups(self._advance().text[1:-1]))
        glob = self._take("text")[1:-1]
        self._expect("as")
        names = self._listed(self._name)
        if glob.count("*") != len(names):
            raise InsightsError(f"{glob!r} has another number of parts than there are names")
        return Parse(source, glob_regex(glob), names)

    def _stats(self) -> Stats:
        aggregates = self._listed(self._aggregate)
        groups = self._listed(self._group) if self._accept("by") else ()
        return Stats(aggregates, groups)

    def _aggregate(self) -> Column:
        expression = self._expression()
        self._expect("as")
        return Column(expression, self._name())

    def _group(self) -> Column:
        expression = self._expression()
        match expression:
            case Name(text):
                return Column(expression, text)
            case Call("bin", (Period(_, written),)):
                return Column(expression, f"bin({written})")
        raise InsightsError(f"stats by {expression}")

    def _made(self) -> Column:
        expression = self._expression()
        if self._accept("as"):
            return Column(expression, self._name())
        if isinstance(expression, Name):
            return Column(expression, expression.text)
        raise InsightsError("what fields makes needs a name")

    def _key(self) -> tuple[str, bool]:
        name = self._name()
        if self._accept("desc"):
            return name, True
        self._expect("asc")
        return name, False

    def _listed(self, read: Callable[[], Item]) -> tuple[Item, ...]:
        items = [read()]
        while self._accept(","):
            items.append(read())
        return tuple(items)

    def _expression(self, level: int = 0) -> Expression:
        if level == len(LEVELS):
            return self._operand()
        left = self._expression(level + 1)
        if "like" in LEVELS[level] and self._accept("not"):
            self._expect("like")
            return Negation(Operation("like", left, self._expression(level + 1)))
        while self._next.text in LEVELS[level] and self._next.kind in {"name", "sign"}:
            operator = self._advance().text
            left = Operation(operator, left, self._expression(level + 1))
        return left

    def _operand(self) -> Expression:
        if self._accept("not"):
            return Negation(self._operand())
        if self._accept("("):
            (inner,) = self._closed()
            return inner
        if self._accept("*"):
            return Star()
        if self._next.kind in LITERALS:
            token = self._advance()
            return LITERALS[token.kind](token.text)
        name = self._name()
        return Call(name, self._closed()) if self._accept("(") else Name(name)

    def _closed(self) -> tuple[Expression, ...]:
        expressions = self._listed(self._expression)
        self._expect(")")
        return expressions

    def _name(self) -> str:
        token = self._advance()
        if token.kind not in {"name", "field"} or token.text in KEYWORDS:
            raise InsightsError(f"a name is needed, not {token.text!r}")
        return token.text.strip("`")

    @property
    def _next(self) -> Token:
        return self._tokens[self._place] if self._place < len(self._tokens) else END

    def _advance(self) -> Token:
        token = self._next
        self._place += 1
        return token

    def _accept(self, text: str) -> bool:
        is_there = self._next.text == text and self._next.kind in {"name", "sign"}
        self._place += is_there
        return is_there

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise InsightsError(f"{text!r} is needed, not {self._next.text!r}")

    def _take(self, kind: str) -> str:
        token = self._advance()
        if token.kind != kind:
            raise InsightsError(f"a {kind} is needed, not {token.text!r}")
        return token.text
