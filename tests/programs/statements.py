"""Prints the texts in a folder of Python files that look like SQL, each with a NUL behind it."""
import ast
import pathlib
import sys

WORDS = ("select", "insert", "update", "delete", "with", "values", "table", "merge", "explain", "copy", "declare",
         "create temp", "(select")

seen = set()
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.strip()
            if text.lower().startswith(WORDS) and text not in seen:
                seen.add(text)
                sys.stdout.write(text + "\0")
