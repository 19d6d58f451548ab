"""Renaming the entry point of a program wherever it is meant, and nowhere else."""

import ast
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from zeroloop.core import programs

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def with_entry_point(program: str, name: str) -> str:
    """The program with its global `f` called `name`; comments are lost.

    Parameters, local variables, methods and attributes called `f` keep their name.

    Raises:
        ValueError: If the program does not parse or has no global `f`.
    """
    tree = programs.parse(program)
    if tree is None or "f" not in bound_names(tree.body):
        raise ValueError("a program without a function f cannot be part of another one")
    try:
        return ast.unparse(_Renamer("f", name).visit(tree))
    except RecursionError as error:
        raise ValueError("the program is nested too deeply") from error


def bound_names(nodes: Iterable[ast.AST], *, nested: bool = False) -> set[str]:
    """The names that statements give a meaning to, in their own scope or in `nested` ones too."""
    found: set[str] = set()
    rest = list(nodes)
    while rest:
        node = rest.pop()
        found.update(_names_bound_by(node))
        if nested or not isinstance(
            node, (*_FUNCTIONS, ast.ClassDef, ast.Lambda, *_COMPREHENSIONS)
        ):
            rest += ast.iter_child_nodes(node)
        elif isinstance(node, _COMPREHENSIONS):
            # Its variables are its own, but what `:=` binds belongs to the scope around it.
            rest += [part.target for part in ast.walk(node) if isinstance(part, ast.NamedExpr)]
    return found


def _names_bound_by(node: ast.AST) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
            return [name]
        case ast.alias(name=name, asname=asname):
            return [asname or name.partition(".")[0]]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            return [name]
        case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            return [name]
        case _:
            return []


class _Renamer(ast.NodeTransformer):
    """Renames a global; does not enter scopes in which its name means something else."""

    def __init__(self, old: str, new: str) -> None:
        self._old = old
        self._new = new

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._renamed(node.id)
        return node

    def visit_Global(self, node: ast.Global) -> ast.Global:
        node.names = [self._renamed(name) for name in node.names]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.name = self._renamed(node.name)
        self._enter(node)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        node.name = self._renamed(node.name)
        self._enter(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self._visit_each([*node.decorator_list, *node.bases, *node.keywords])
        if self._old not in bound_names(node.body):
            self._visit_each(node.body)
            return node
        for method in node.body:  # methods do not see the names of their class
            if isinstance(method, _FUNCTIONS):
                self._enter(method)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        self._visit_each([*node.args.defaults, *filter(None, node.args.kw_defaults)])
        if self._old not in bound_names([node.args], nested=True):
            self.visit(node.body)
        return node

    def visit_ListComp(self, node: ast.ListComp) -> ast.ListComp:
        self._comprehend(node)
        return node

    def visit_SetComp(self, node: ast.SetComp) -> ast.SetComp:
        self._comprehend(node)
        return node

    def visit_DictComp(self, node: ast.DictComp) -> ast.DictComp:
        self._comprehend(node)
        return node

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.GeneratorExp:
        self._comprehend(node)
        return node

    def _enter(self, node: _Function) -> None:
        self._visit_each([*node.decorator_list, *filter(None, [node.returns])])
        self.visit(node.args)
        globals_ = {
            name for part in ast.walk(node) if isinstance(part, ast.Global) for name in part.names
        }
        own = {argument.arg for argument in _arguments(node.args)} | bound_names(node.body)
        if self._old not in own or self._old in globals_:
            self._visit_each(node.body)

    def _comprehend(self, node: _Comprehension) -> None:
        if self._old in bound_names(generator.target for generator in node.generators):
            self.visit(node.generators[0].iter)
        else:
            self.generic_visit(node)

    def _visit_each(self, nodes: Sequence[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _renamed(self, name: str) -> str:
        return self._new if name == self._old else name


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [*named, *filter(None, (arguments.vararg, arguments.kwarg))]
