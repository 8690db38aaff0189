# SPDX-License-Identifier: GPL-2.0
"""The job of a demo guest: reads, parses, compiles, indexes and digests programs of its root.

Prints one line of JSON. Everything in it follows from the content of the root alone, so every guest
that runs from the same image must print the same line, and the host can compute the digest of the
files by itself.
"""

import ast
import collections
import csv
import decimal
import hashlib
import importlib
import io
import json
import lzma
import os
import random
import re
import sqlite3
import sys
import tokenize
import xml.etree.ElementTree as ElementTree
import zipfile
import zlib

LIBRARY = os.path.dirname(os.__file__)
# Directories, relative to the root, whose files are all read and digested.
DIGESTED = ["usr/bin", "usr/sbin", LIBRARY.lstrip("/")]
# Packages of the standard library that are parsed and compiled.
COMPILED = ["json", "logging", "sqlite3", "zipfile"]
# Modules that a larger program would need; they are only loaded.
LOADED = ["argparse", "asyncio", "concurrent.futures", "ctypes", "dataclasses", "difflib",
          "email.message", "fractions", "html.parser", "http.client", "inspect", "ipaddress",
          "logging.handlers", "multiprocessing", "pickle", "shelve", "ssl", "statistics",
          "tarfile", "textwrap", "unicodedata", "unittest", "urllib.request", "uuid"]


def files_below(directory):
    """Returns the regular files below a directory of the root, in order of their names."""
    found = []
    for path, _, names in os.walk("/" + directory):
        for name in names:
            file = os.path.join(path, name)
            if os.path.isfile(file) and not os.path.islink(file):
                found.append(file[1:])
    return sorted(found, key=os.fsencode)


def digest_tree():
    """Digests the names and contents of the files; the host does the same."""
    tree = hashlib.sha256()
    count = total_bytes = 0
    for directory in DIGESTED:
        for name in files_below(directory):
            with open("/" + name, "rb", buffering=0) as file:
                content = hashlib.file_digest(file, "sha256")
                total_bytes += file.tell()
            tree.update(os.fsencode(name) + b"\0" + content.digest())
            count += 1
    return {"directories": DIGESTED, "files": count, "bytes": total_bytes,
            "tree_sha256": tree.hexdigest()}


def inspect_source(path):
    """Parses, compiles and tokenizes one source file; returns a row for the index."""
    with open(path, "rb") as file:
        source = file.read()
    syntax = ast.parse(source)
    kinds = collections.Counter(type(node).__name__ for node in ast.walk(syntax))
    code = compile(syntax, "<job>", "exec", optimize=1)
    tokens = sum(1 for _ in tokenize.tokenize(io.BytesIO(source).readline))
    words = len(re.findall(rb"\b[a-z_]+\b", source))
    packed = len(zlib.compress(source, 6))
    return (os.path.basename(path), sum(kinds.values()), kinds["FunctionDef"],
            len(code.co_consts), tokens, words, packed)


def index_sources():
    """Puts the rows of all sources into a database and returns what it answers."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE source (package, name, nodes, functions, consts, tokens,"
                     " words, packed)")
    for package in COMPILED:
        directory = os.path.join(LIBRARY, package)
        for name in sorted(os.listdir(directory)):
            if name.endswith(".py"):
                row = inspect_source(os.path.join(directory, name))
                database.execute("INSERT INTO source VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                                 (package, *row))
    return database.execute("SELECT package, count(*), sum(nodes), sum(functions), sum(tokens),"
                            " sum(words), sum(packed), max(name) FROM source GROUP BY package"
                            " ORDER BY sum(nodes) DESC").fetchall()


def write_documents(rows):
    """Renders the answer in several formats and returns the digest of them all."""
    page = ElementTree.Element("sources")
    table = io.StringIO()
    writer = csv.writer(table)
    for row in rows:
        ElementTree.SubElement(page, row[0], nodes=str(row[2]), functions=str(row[3]))
        writer.writerow(row)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bundle:
        entry = zipfile.ZipInfo("sources.csv", (2000, 1, 1, 0, 0, 0))
        bundle.writestr(entry, table.getvalue())
    mean = decimal.Decimal(sum(row[2] for row in rows)) / len(rows)
    shuffled = random.Random(7).sample(sorted(row[0] for row in rows), len(rows))
    documents = [ElementTree.tostring(page), archive.getvalue(), str(mean).encode(),
                 lzma.compress(table.getvalue().encode()), json.dumps([rows, shuffled]).encode()]
    return hashlib.sha256(b"\0".join(documents)).hexdigest()


def main():
    """Runs the parts of the job and prints the result."""
    result = digest_tree()
    for name in LOADED:
        importlib.import_module(name)
    rows = index_sources()
    result["nodes"] = sum(row[2] for row in rows)
    result["documents_sha256"] = write_documents(rows)
    result["modules"] = len(sys.modules)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
