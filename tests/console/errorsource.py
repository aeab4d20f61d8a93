"""Every sentence and hint that the source gives to an error, read from its syntax trees.

A sentence is a template: its f-string expressions are holes ``{1}``, ``{2}``, … in order. Conditional expressions,
names and parameters that hold prose are followed, so that a template is a whole sentence as a person meets it.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
ERRORS: Final = frozenset(
    {"VeiljoinError", "UsageError", "PolicyRefusal", "PeerViolation", "PeerAborted", "LinkLost"}
)
# What takes a sentence and a hint as well: name -> (place of the sentence, place of the hint).
_TELLERS: Final = {"respond": (3, 4), "UnfitError": (1, 2)}
# Where callers of a function are looked for.
_PACKAGES: Final = ("psi", "federated", "audit", "party", "server", "client", "console", "cli")
_DEEPEST: Final = 8
_MOST: Final = 200

# A template in pieces: literal text, and ``None`` for a hole.
Pieces = tuple[str | None, ...]
HOLE: Final[Pieces] = (None,)


@dataclass(frozen=True, slots=True)
class Told:
    """One template that an error of ``file`` has as its ``part``: message or hint."""

    file: str
    line: int
    part: str
    pieces: Pieces

    @property
    def text(self) -> str:
        """Return the template as a msgid: holes numbered from 1."""
        number = itertools.count(1)
        return "".join(piece if piece is not None else f"{{{next(number)}}}" for piece in self.pieces)

    def sample(self, value: str = "Qx7") -> str:
        """Return a sentence of this template, with ``value`` and a number in every hole."""
        number = itertools.count(1)
        return "".join(piece if piece is not None else f"{value}{next(number)}" for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class _Module:
    """One parsed file, the constants at its top, its functions and who calls them."""

    name: str
    tree: ast.Module
    parents: Mapping[ast.AST, ast.AST]
    constants: Mapping[str, ast.expr]
    imported: Mapping[str, tuple[str, str]]


Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def _module(name: str) -> _Module | None:
    path = ROOT / (name.replace(".", "/") + ".py")
    if not path.is_file():
        path = ROOT / name.replace(".", "/") / "__init__.py"
        if not path.is_file():
            return None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    constants: dict[str, ast.expr] = {}
    imported: dict[str, tuple[str, str]] = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=target)], value=value):
                constants[target] = value
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value):
                constants[target] = value
            case ast.ImportFrom(module=str() as source, names=names):
                imported |= {each.asname or each.name: (source, each.name) for each in names}
    return _Module(name, tree, parents, constants, imported)


def _function_of(module: _Module, node: ast.AST) -> Function | None:
    while node in module.parents:
        node = module.parents[node]
        if isinstance(node, Function):
            return node
    return None


class _Reader:
    """Follows expressions to the texts that they can be."""

    def __init__(self, module: _Module, depth: int = 0) -> None:
        self._module = module
        self._depth = depth

    def read(self, node: ast.expr) -> list[Pieces]:
        """Return the texts that ``node`` can be; one hole for what cannot be known."""
        match node:
            case ast.Constant(value=str() as text):
                return [(text,)]
            case ast.Constant(value=None):
                return []
            case ast.Constant(value=value):
                return [(str(value),)]
            case ast.JoinedStr(values=values):
                return _joined([self._part(each) for each in values])
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                return _joined([self.read(left), self.read(right)])
            case ast.IfExp(body=body, orelse=orelse):
                return self.read(body) + self.read(orelse)
            case ast.BoolOp(op=ast.Or(), values=values):
                return [each for value in values for each in self.read(value)]
            case ast.Name():
                return self._named(node)
            case ast.Subscript(value=table):
                return self._entries(table) or [HOLE]
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(value=ast.Name(id="self"), attr=called)):
                return self._returned(called)
            case ast.Call(func=ast.Attribute(value=table, attr="get"), args=[_, *otherwise]):
                found = self._entries(table) + [each for node in otherwise for each in self.read(node)]
                return found or [HOLE]
        return [HOLE]

    def _part(self, node: ast.expr) -> list[Pieces]:
        """Return a part of an f-string: its text, or a hole unless what stands there is prose or has branches."""
        match node:
            case ast.Constant():
                return self.read(node)
            case ast.FormattedValue(value=ast.IfExp() as branches, conversion=-1, format_spec=None):
                return self.read(branches)
            case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
                found = self.read(inner)
                prose = any(" " in piece for pieces in found for piece in pieces if piece is not None)
                return found if prose else [HOLE]
        return [HOLE]

    def _named(self, node: ast.Name) -> list[Pieces]:
        if self._depth >= _DEEPEST:
            return [HOLE]
        function = _function_of(self._module, node)
        if function is not None:
            assigned = self._nearest(function, node)
            if assigned:
                return assigned
            if node.id in _parameters(function):
                return self._argument(function, node.id)
        return self._constant(node.id)

    def _deeper(self, module: _Module | None = None) -> _Reader:
        return _Reader(module or self._module, self._depth + 1)

    def _constant(self, name: str) -> list[Pieces]:
        module, value = _lookup(self._module, name)
        return [HOLE] if value is None else self._deeper(module).read(value)

    def _entries(self, table: ast.expr) -> list[Pieces]:
        """Return the texts of a table that is looked up in."""
        module: _Module = self._module
        value: ast.expr | None = table
        if isinstance(table, ast.Name):
            module, value = _lookup(self._module, table.id)
        if not isinstance(value, ast.Dict):
            return []
        reader = self._deeper(module)
        return [each for entry in value.values for each in reader.read(entry)]

    def _nearest(self, function: Function, node: ast.Name) -> list[Pieces]:
        """Return what the name is in the innermost block around ``node`` that assigns it."""
        block: ast.AST = node
        while block is not function:
            block = self._module.parents[block]
            found = [each for value in self._assigned(block, node.id) for each in self._deeper().read(value)]
            if found:
                for added in self._added(block, node.id):
                    found += _joined([found, self._deeper().read(added)])
                return found
        return []

    @staticmethod
    def _added(block: ast.AST, name: str) -> Iterator[ast.expr]:
        for node in ast.walk(block):
            match node:
                case ast.AugAssign(target=ast.Name(id=target), op=ast.Add(), value=value) if target == name:
                    yield value

    def _assigned(self, block: ast.AST, name: str) -> Iterator[ast.expr]:
        for node in ast.walk(block):
            match node:
                case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                    yield value
                case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
                    yield value
                case ast.Assign(targets=[ast.Tuple(elts=targets)], value=value):
                    yield from self._unpacked(targets, value, name)

    def _unpacked(self, targets: Sequence[ast.expr], value: ast.expr, name: str) -> Iterator[ast.expr]:
        for place, target in enumerate(targets):
            if not (isinstance(target, ast.Name) and target.id == name):
                continue
            match value:
                case ast.Tuple(elts=elements):
                    yield elements[place]
                case ast.IfExp(body=body, orelse=orelse):
                    yield from self._unpacked(targets, body, name)
                    yield from self._unpacked(targets, orelse, name)
                case ast.Call(func=ast.Attribute(value=table, attr="get"), args=[_, otherwise]):
                    yield from self._unpacked(targets, ast.Subscript(table, ast.Constant(0)), name)
                    yield from self._unpacked(targets, otherwise, name)
                case ast.Subscript(value=ast.Name(id=table)):
                    module, found = _lookup(self._module, table)
                    if module is self._module and isinstance(found, ast.Dict):
                        for entry in found.values:
                            yield from self._unpacked(targets, entry, name)
                case _:
                    yield value

    def _argument(self, function: Function, name: str) -> list[Pieces]:
        """Return what the callers of ``function`` give for its parameter ``name``."""
        found: list[Pieces] = []
        for module, call in _calls(self._module, function.name):
            reader = self._deeper(module)
            for given in reader._given(function, call, name):
                found += reader.read(given)
        return found or [HOLE]

    def _given(self, function: Function, call: ast.Call, name: str) -> Iterator[ast.expr]:
        """Yield what ``call`` gives for the parameter ``name``."""
        keywords = [keyword.value for keyword in call.keywords if keyword.arg == name]
        if keywords:
            yield keywords[0]
            return
        place = [each for each in _parameters(function) if each not in ("self", "cls")].index(name)
        match call.args:
            case [ast.Starred(value=ast.Subscript(value=ast.Name(id=table)))]:
                _, found = _lookup(self._module, table)
                for entry in found.values if isinstance(found, ast.Dict) else ():
                    if isinstance(entry, ast.Tuple):
                        yield entry.elts[place]
            case arguments if place < len(arguments):
                yield arguments[place]
            case _:
                yield from _defaults(function, name)

    def _returned(self, called: str) -> list[Pieces]:
        """Return the texts that a function returns; an empty one means that there is nothing to say."""
        source, original = self._module.imported.get(called, (self._module.name, called))
        module = _module(source)
        found: list[Pieces] = []
        if module is not None and self._depth < _DEEPEST:
            for node in ast.walk(module.tree):
                if isinstance(node, Function) and node.name == original:
                    returns = [each.value for each in ast.walk(node) if isinstance(each, ast.Return)]
                    found += [text for value in returns if value for text in self._deeper(module).read(value)]
        return [pieces for pieces in found if pieces != ("",)] or [HOLE]


def _joined(parts: Sequence[list[Pieces]]) -> list[Pieces]:
    whole = itertools.islice(itertools.product(*(each or [("",)] for each in parts)), _MOST)
    return [_merged([piece for pieces in each for piece in pieces]) for each in whole]


def _merged(pieces: Iterable[str | None]) -> Pieces:
    merged: list[str | None] = []
    for piece in pieces:
        if piece is not None and merged and merged[-1] is not None:
            merged[-1] += piece
        elif piece != "":
            merged.append(piece)
    return tuple(merged)


def _lookup(module: _Module, name: str) -> tuple[_Module, ast.expr | None]:
    if name in module.constants:
        return module, module.constants[name]
    source, original = module.imported.get(name, ("", ""))
    other = _module(source) if source else None
    return (module, None) if other is None else (other, other.constants.get(original))


def _parameters(function: Function) -> list[str]:
    arguments = function.args
    return [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def _defaults(function: Function, name: str) -> Iterator[ast.expr]:
    arguments = function.args
    usual = zip(reversed(arguments.args), reversed(arguments.defaults), strict=False)
    by_name = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    yield from (value for each, value in (*usual, *by_name) if each.arg == name and value is not None)


@cache
def _importers(source: str, name: str) -> tuple[_Module, ...]:
    """Return the modules that import ``name`` of the module ``source``."""
    every = (module for package in _PACKAGES for _, module in _modules(package))
    return tuple(module for module in every if module.imported.get(name) == (source, name))


def _calls(module: _Module, name: str) -> Iterator[tuple[_Module, ast.Call]]:
    """Yield the calls of a function of ``module``, there and where it is imported."""
    for each in (module, *_importers(module.name, name)):
        for node in ast.walk(each.tree):
            if isinstance(node, ast.Call) and _called(node) == name:
                yield each, node


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _classes(modules: Iterable[_Module]) -> frozenset[str]:
    """Return the names of the error classes, with those that the modules derive from them."""
    found = set(ERRORS)
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and any(
                isinstance(base, ast.Name) and base.id in found for base in node.bases
            ):
                found.add(node.name)
    return frozenset(found)


def _parts(node: ast.Call, errors: frozenset[str]) -> Iterator[tuple[str, ast.expr]]:
    called = _called(node)
    if called in errors:
        if node.args and not isinstance(node.args[0], ast.Starred):
            yield "message", node.args[0]
        yield from (("hint", each.value) for each in node.keywords if each.arg == "hint")
    elif called in _TELLERS:
        for part, place in zip(("message", "hint"), _TELLERS[called], strict=True):
            if place < len(node.args):
                yield part, node.args[place]


@cache
def _modules(package: str) -> tuple[tuple[str, _Module], ...]:
    """Return the files of ``package`` with what is in them."""
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        file = path.relative_to(ROOT)
        module = _module(".".join(file.with_suffix("").parts).removesuffix(".__init__"))
        if module is not None:
            found.append((file.as_posix(), module))
    return tuple(found)


def _sites(package: str) -> Iterator[tuple[str, int, str, ast.expr, _Module]]:
    modules = _modules(package)
    errors = _classes(module for _, module in modules)
    for file, module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                for part, expression in _parts(node, errors):
                    yield file, node.lineno, part, expression, module


def _sorted(found: Iterable[Told]) -> tuple[Told, ...]:
    """Return templates in order of file and line, each of a file once, without those that say nothing."""
    first: dict[tuple[str, str], Told] = {}
    for each in sorted(found, key=lambda told: (told.file, told.line, told.part, told.text)):
        if any(piece is not None and piece.strip() for piece in each.pieces):
            first.setdefault((each.file, each.text), each)
    return tuple(first.values())


@cache
def told(package: str) -> tuple[Told, ...]:
    """Return what the errors of ``package`` say, in order of file and line."""
    return _sorted(
        Told(file, line, part, pieces)
        for file, line, part, expression, module in _sites(package)
        for pieces in _Reader(module).read(expression)
    )


def unread(package: str) -> frozenset[tuple[str, str]]:
    """Return (file, expression) of each sentence and hint whose text is not to be seen where it is given."""
    return frozenset(
        (file, ast.unparse(expression))
        for file, _, _, expression, module in _sites(package)
        if HOLE in _Reader(module).read(expression)
    )


def returned(file: str) -> tuple[Told, ...]:
    """Return the texts that the functions of ``file`` return: a ``str``, or a sentence and its hint."""
    module = dict(_modules(str(Path(file).parent)))[file]
    return _sorted(
        Told(file, node.lineno, "message", pieces)
        for function in ast.walk(module.tree)
        if isinstance(function, Function) and function.returns is not None
        if ast.unparse(function.returns) in ("str", "tuple[str, str]")
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and node.value is not None
        for each in (node.value.elts if isinstance(node.value, ast.Tuple) else [node.value])
        for pieces in _Reader(module).read(each)
    )


@cache
def texts(package: str) -> frozenset[str]:
    """Return every text and f-string in the source of ``package``, as msgids: what errors may have as a value.

    Nothing is followed here: each expression of an f-string is a hole.
    """
    found = set()
    for file, module in _modules(package):
        for node in ast.walk(module.tree):
            match node:
                case ast.Constant(value=str() as text):
                    found.add(text)
                case ast.JoinedStr(values=values):
                    parts = (str(each.value) if isinstance(each, ast.Constant) else None for each in values)
                    found.add(Told(file, node.lineno, "message", _merged(parts)).text)
    return frozenset(found)
