"""Print how the package reads: vague names, one-word functions, docstrings that do not say a thing.

A mirror, no gate: it always exits with 0. Run `python .ci/mirror.py [FOLDER or FILE ...]`.

A name counts as vague when it is one word of `VAGUE`: a past participle or a pronoun that tells
neither type nor role. A docstring counts as mute when its first line opens with a question word.
"""

import argparse
import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

VAGUE = frozenset((
    "all", "any", "asked", "both", "chosen", "done", "each", "found", "given", "got",
    "heard", "helped", "here", "it", "its", "kept", "known", "made", "named", "needed",
    "one", "others", "own", "part", "parts", "place", "pulled", "rest", "said", "seen",
    "shown", "such", "taken", "these", "thing", "things", "told", "used", "wanted",
    "what", "where", "which",
))  # fmt: skip
QUESTION_WORDS = frozenset((
    "how", "what", "when", "where", "whether", "which", "who", "whose", "why",
))  # fmt: skip


def assigned_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every name that a file binds, with its line: variables, arguments, fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.arg) and node.arg not in ("self", "cls"):
            yield node.arg, node.lineno


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_property(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a function reads as an attribute, which may be a noun."""
    return any("property" in ast.unparse(decorator) for decorator in function.decorator_list)


def first_lines(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield the first line of every docstring, with the line of its owner."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield docstring.splitlines()[0], getattr(node, "lineno", 1)


def is_mute(line: str) -> bool:
    """Tell whether a docstring's first line opens with a question word.

    >>> is_mute("What a probe has to say."), is_mute("Return the loss rows.")
    (True, False)
    """
    words = re.findall(r"[A-Za-z']+", line)
    return bool(words) and words[0].lower() in QUESTION_WORDS


def python_files(paths: list[Path]) -> list[Path]:
    """List the Python files of folders and files."""
    return sorted(
        file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))
    )


def main() -> None:
    """Print one line for each folder, a total, and what is most frequent."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path, default=[Path("fpnprobe")])
    parser.add_argument("--lines", action="store_true", help="print the place of every vague name")
    options = parser.parse_args()
    names: Counter[str] = Counter()
    vague: Counter[str] = Counter()
    by_word: Counter[str] = Counter()
    one_word = mute = docstrings = private = 0
    for file in python_files(options.paths):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        folder = file.parent.as_posix()
        for name, line in assigned_names(tree):
            if name.startswith("__"):
                continue
            names[folder] += 1
            if name.strip("_") in VAGUE:
                vague[folder] += 1
                by_word[name.strip("_")] += 1
                if options.lines:
                    print(f"{file}:{line}: {name}")
        for function in functions(tree):
            name = function.name
            if name.startswith("_") and not name.startswith("__") and not is_property(function):
                private += 1
                one_word += "_" not in name.strip("_")
        for text, line in first_lines(tree):
            docstrings += 1
            mute += is_mute(text)
            if options.lines and is_mute(text):
                print(f"{file}:{line}: {text}")
    for folder in sorted(names):
        print(f"{vague[folder] / names[folder]:6.1%} of {names[folder]:5} names  {folder}")
    total = sum(names.values())
    print(f"{sum(vague.values()) / max(1, total):6.1%} of {total:5} assigned names are vague")
    print(f"{one_word:6} of {private} private functions have a one-word name")
    print(f"{mute:6} of {docstrings} docstrings open with a question word")
    print("most frequent: " + ", ".join(f"{word} {n}" for word, n in by_word.most_common(12)))


if __name__ == "__main__":
    main()
