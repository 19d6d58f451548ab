"""Reading and rewriting program text. Nothing is run; text that does not parse stays as it is."""

import ast
import re
import warnings
from collections.abc import Callable

_DEF = re.compile(r"^[ \t]*def[ \t]+(\w+)[ \t]*\(", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*((?:import|from)\s+[^\n#]+)", re.MULTILINE)
_TEST_INPUTS = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        r"#\s*(?:test|example|sample)\s*(?:input|case|usage|call)s?\b",
        r"#\s*input\s*:",
        r"#\s*usage\s*:",
        r"^[ \t]*(?:test|example|sample)_(?:input|case|data|arg)s?\s*=",
        r"^[ \t]*(?:input|inputs|args|input_data)\s*=",
        r"^(?:print|assert)\s*\(?\s*f\s*\(",
        r"^\w+\s*=\s*f\s*\(",
        r"^f\s*\(",
        r"^if\s+__name__\s*==",
    )
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)


def parse(source: str) -> ast.Module | None:
    """The syntax tree, or None if the text is no program."""
    try:
        with warnings.catch_warnings():  # an escape such as "\d" is no business of ours
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def normalised(source: str) -> str:
    """Return a program without what does not matter to it: layout and comments.

    Text that cannot be parsed is returned as it is.
    """
    tree = parse(source)
    try:
        return source if tree is None else ast.unparse(tree)
    except RecursionError:
        return source


def function_names(source: str) -> list[str]:
    """The name on every line that begins a `def`, nested functions and methods included."""
    return _DEF.findall(source)


def renamed(source: str, name: str) -> str:
    """Rename function `name` to `f`: its definition and every call by its bare name.

    Calls of a method with that name, `x.name(`, are left alone.
    """
    if name == "f":
        return source
    return re.sub(rf"(?<![\w.]){re.escape(name)}\s*\(", "f(", source)


def holds_test_input(source: str) -> bool:
    """Whether comments, variables or calls look like a test of the program."""
    return any(pattern.search(source) for pattern in _TEST_INPUTS)


def imports(source: str) -> tuple[str, ...]:
    """Every import statement, nested ones too, once each and in source order."""
    tree = parse(source)
    if tree is None:
        return tuple(dict.fromkeys(match.strip() for match in _IMPORT.findall(source)))
    nodes = [node for node in ast.walk(tree) if isinstance(node, _IMPORTS)]
    nodes.sort(key=lambda node: (node.lineno, node.col_offset))
    return tuple(dict.fromkeys(ast.unparse(node) for node in nodes))


def without_imports(source: str) -> str:
    """The program without the top-level imports that have their lines to themselves.

    All else, comments too, stays as written.
    """
    tree = parse(source)
    if tree is None or "\r" in source:  # with odd line ends positions cannot be trusted
        return source.strip()
    kept = [node for node in tree.body if not isinstance(node, _IMPORTS)]
    needed = {line for node in kept for line in _lines(node)}
    dropped = {
        line for node in tree.body if isinstance(node, _IMPORTS) for line in _lines(node)
    } - needed
    lines = enumerate(source.split("\n"), start=1)
    return "\n".join(text for line, text in lines if line not in dropped).strip()


def rewritten(source: str, *, comments: bool, after_return: bool, prints: bool) -> str:
    """Apply the chosen rewrites.

    Args:
        source: The program.
        comments: Drop comments and docstrings.
        after_return: Drop top-level statements that are no import, function or class.
        prints: Drop statements that only call `print`.
    """
    chosen: list[Callable[[ast.Module], object]] = []
    if comments:
        chosen.append(_drop_docstrings)
    if after_return:
        chosen.append(_drop_globals)
    if prints:
        chosen.append(_drop_prints)
    tree = parse(source)
    if tree is None or not chosen:
        return source
    try:
        for rewrite in chosen:
            rewrite(tree)
        return ast.unparse(ast.fix_missing_locations(tree))
    except RecursionError:
        return source


def _lines(node: ast.stmt) -> range:
    decorators = node.decorator_list if isinstance(node, _DEFINITIONS) else []
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return range(first, (node.end_lineno or node.lineno) + 1)


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, *_DEFINITIONS)) or not node.body:
            continue
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            is_text = isinstance(first.value.value, str)
            node.body = node.body[is_text:] or [ast.Pass()]


def _drop_globals(tree: ast.Module) -> None:
    tree.body = [node for node in tree.body if isinstance(node, (*_IMPORTS, *_DEFINITIONS))]


def _drop_prints(tree: ast.Module) -> None:
    _PrintRemover().visit(tree)


class _PrintRemover(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        call = node.value
        is_print = (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id == "print"
        )
        return ast.Pass() if is_print else node
