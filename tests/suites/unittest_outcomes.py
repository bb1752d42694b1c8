"""Outcomes of what Python's unittest prints with -v 2: NAME (MODULE.CLASS.NAME), what it says of itself, and how it ended."""

import re
import sys

TEST = re.compile(r"^(\w+) \(([\w.]+)\)")
SUBTEST = re.compile(r"^  (\w+) \(([\w.]+)\) (.*) \.\.\. (FAIL|ERROR)$")
END = re.compile(r"\.\.\. (ok|FAIL|ERROR|expected failure|skipped.*)$")
WORDS = {"ok": "pass", "expected failure": "pass", "FAIL": "FAIL", "ERROR": "FAIL"}

name = None
for line in sys.stdin:
    line = line.rstrip("\n")
    if line.startswith("====="):
        break  # The reports of failures, which name the tests again.
    if subtest := SUBTEST.match(line):
        print("FAIL", subtest[2], subtest[3])
        continue
    if test := TEST.match(line):
        name = test[2]
    if (end := END.search(line)) and name:
        print(WORDS.get(end[1], "skip"), name)
        name = None
