"""A documented part of PromQL over stored readings (`docs/queries.md`): what a Grafana panel asks.

Source of the language: https://prometheus.io/docs/prometheus/latest/querying/basics/. A metric is a sensor's name,
its labels are `asset_id` and `unit`. Two promises differ, and the documentation says so: a stretch of time has its
start and not its end, and the name is kept by functions, so that several sensors can be told apart.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final, Literal, Protocol, TypeAlias, get_args

import numpy as np
import promql_parser as ast
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sensor_storage.errors import Usage

OverTime: TypeAlias = Literal["avg", "min", "max", "sum", "count", "last"]
Numbers: TypeAlias = NDArray[np.float64]
Times: TypeAlias = NDArray[np.int64]

NAME: Final = "__name__"
LOOKBACK: Final = 300_000_000
"""µs a bare selector looks back at least, as in Prometheus."""

_OVER_TIME: Final[dict[str, OverTime]] = {f"{name}_over_time": name for name in get_args(OverTime)}
_COLUMNWISE: Final[dict[str, Callable[..., Any]]] = {
    "sum": np.nansum,
    "avg": np.nanmean,
    "min": np.nanmin,
    "max": np.nanmax,
    "count": partial(np.count_nonzero),
}
_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
}
_SUBSET: Final = (
    f"there are selectors, {', '.join(_OVER_TIME)}, {', '.join(_COLUMNWISE)} with by or without,"
    f" and {' '.join(_ARITHMETIC)} with numbers"
)


class OutsideSubset(Usage):
    """PromQL that is not answered here."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not answered here", hint=_SUBSET)


@dataclass(frozen=True, slots=True)
class Matcher:
    """What a label has to be, or not to be; a label that is not there is empty."""

    label: str
    value: str
    regex: bool = False
    negative: bool = False

    def accepts(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """For each text: does it fit? Expressions are RE2's, in time linear in the text, over the whole of it."""
        array: Any = pa.array(texts, pa.string())
        found: Any
        if self.regex:
            found = pc.match_substring_regex(array, f"(?s)^(?:{self.value})$")
        else:
            found = pc.equal(array, pa.scalar(self.value, pa.string()))
        fits: NDArray[np.bool_] = found.to_numpy(zero_copy_only=False)
        return ~fits if self.negative else fits


@dataclass(frozen=True, eq=False, slots=True)
class Vectors:
    """For each of the label sets a row of numbers, one for each step; NaN where there is none."""

    labels: tuple[dict[str, str], ...]
    values: Numbers


Result: TypeAlias = float | Vectors


class Source(Protocol):
    """Where numbers come from."""

    def over_time(self, function: OverTime, matchers: Sequence[Matcher], times: Times, width: int) -> Vectors:
        """The function of each sensor's good numbers from `width` before each of the times up to it, in µs."""
        ...


def parse(text: str) -> Any:  # noqa: ANN401 - a node of the parser's tree
    """The tree of an expression. Usage where it is none."""
    try:
        return ast.parse(text)
    except ValueError as error:
        raise Usage(f"query: {str(error).strip()}", hint=_SUBSET) from error


def selector(text: str) -> tuple[Matcher, ...]:
    """The matchers of a selector, as `match[]` has them. Usage where it is none."""
    node = parse(text)
    if not isinstance(node, ast.VectorSelector):
        raise Usage(f"match[]: {text!a} is not a selector", hint='such as {asset_id="press-1"}')
    return _matchers(node)


def evaluate(text: str, times: Times, step: int, source: Source) -> Result:
    """The expression at each of the times, which are `step` µs apart. OutsideSubset names what is not answered."""
    return _Evaluation(times, step, source).of(parse(text))


@dataclass(frozen=True, slots=True)
class _Evaluation:
    times: Times
    step: int
    source: Source

    def of(self, node: Any) -> Result:  # noqa: ANN401, PLR0911 - one line for each kind of node
        match node:
            case ast.NumberLiteral():
                return float(node.val)
            case ast.ParenExpr():
                return self.of(node.expr)
            case ast.UnaryExpr():
                return _arithmetic("*", -1.0, self.of(node.expr))
            case ast.VectorSelector():
                return self._select("last", node, max(LOOKBACK, self.step))
            case ast.Call():
                return self._call(node)
            case ast.AggregateExpr():
                return self._aggregate(node)
            case ast.BinaryExpr():
                return _arithmetic(str(node.op), self.of(node.lhs), self.of(node.rhs))
            case _:
                raise OutsideSubset(f"a {type(node).__name__} ({node})")

    def _call(self, node: Any) -> Vectors:  # noqa: ANN401
        function = _OVER_TIME.get(node.func.name)
        if function is None or not isinstance(node.args[0], ast.MatrixSelector):
            raise OutsideSubset(f"the function {node.func.name}" if function is None else str(node))
        inner = node.args[0]
        return self._select(function, inner.vector_selector, _microseconds(inner.range))

    def _select(self, function: OverTime, node: Any, width: int) -> Vectors:  # noqa: ANN401
        if node.at is not None:
            raise OutsideSubset("the modifier @")
        times = self.times - _microseconds(node.offset)
        return self.source.over_time(function, _matchers(node), times, width)

    def _aggregate(self, node: Any) -> Vectors:  # noqa: ANN401
        function = _COLUMNWISE.get(name := str(node.op))
        if function is None:
            raise OutsideSubset(f"the aggregation {name}")
        inner = self.of(node.expr)
        if not isinstance(inner, Vectors):
            raise Usage(f"query: {name} takes sensors, not the number {inner:g}", hint=_SUBSET)
        groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
        for place, labels in enumerate(inner.labels):
            groups.setdefault(_group(labels, node.modifier), []).append(place)
        rows = np.full((len(groups), len(self.times)), np.nan)
        for row, places in zip(rows, groups.values(), strict=True):
            part = inner.values[places]
            there = ~np.isnan(part)
            some = there.any(axis=0)
            row[some] = function((there if name == "count" else part)[:, some], axis=0)
        return Vectors(tuple(dict(group) for group in groups), rows)


def _matchers(node: Any) -> tuple[Matcher, ...]:  # noqa: ANN401
    regex, negative = (ast.MatchOp.Re, ast.MatchOp.NotRe), (ast.MatchOp.NotEqual, ast.MatchOp.NotRe)
    found = [
        Matcher(
            one.name,
            one.value,
            regex=any(one.op == op for op in regex),
            negative=any(one.op == op for op in negative),
        )
        for one in node.matchers.matchers
    ]
    if node.name and not any(one.label == NAME and one.value == node.name for one in found):
        found.append(Matcher(NAME, node.name))
    return tuple(found)


def _group(labels: dict[str, str], modifier: Any) -> tuple[tuple[str, str], ...]:  # noqa: ANN401
    if modifier is None:
        return ()
    named = set(modifier.labels)
    without = "without" in str(modifier.type).lower()
    kept = labels.keys() - named - {NAME} if without else labels.keys() & named
    return tuple(sorted((name, labels[name]) for name in kept))


def _arithmetic(sign: str, left: Result, right: Result) -> Result:
    function = _ARITHMETIC.get(sign)
    if function is None:
        raise OutsideSubset(f"the operator {sign}")
    with np.errstate(all="ignore"):
        match left, right:
            case Vectors(), Vectors():
                raise OutsideSubset(f"{sign} between two selections")
            case Vectors(labels, values), float():
                return Vectors(labels, function(values, right))
            case float(), Vectors(labels, values):
                return Vectors(labels, function(left, values))
            case _:
                return float(function(np.float64(left), np.float64(right)))  # type: ignore[arg-type]


def _microseconds(distance: timedelta | None) -> int:
    return distance // timedelta(microseconds=1) if distance else 0


_DURATION = re.compile(r"(\d+)(ms|s|m|h|d|w|y)")
_UNITS: Final = {
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
    "y": 31_536_000_000_000,
}


def read_duration(text: str) -> int:
    """µs of a step: seconds, or a duration such as 1h30m. Usage where it is neither."""
    given = text.strip()
    if given and _DURATION.sub("", given) == "":
        found = sum(int(number) * _UNITS[unit] for number, unit in _DURATION.findall(given))
    else:
        try:
            found = round(float(given) * 1_000_000)
        except (ValueError, OverflowError):
            found = 0
    if found <= 0:
        raise Usage(f"step: {text!a} is no duration above zero", hint="seconds, or such as 15s or 1h30m")
    return found
