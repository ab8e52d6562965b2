"""A person at LibreOffice, as a program: started by the tests with the Python that has LibreOffice's `uno` module.

Reads one JSON list a line from standard input (a verb and its arguments) and answers each with one line of JSON. It
uses nothing of syncd, and runs on the system's Python.
"""
# mypy: ignore-errors

import json
import sys
import time

import uno
from com.sun.star.beans import PropertyValue
from com.sun.star.connection import NoConnectException


def prop(name, value):
    made = PropertyValue()
    made.Name, made.Value = name, value
    return made


def connect(pipe):
    context = uno.getComponentContext()
    resolver = context.ServiceManager.createInstanceWithContext("com.sun.star.bridge.UnoUrlResolver", context)
    for _ in range(600):
        try:
            remote = resolver.resolve(f"uno:pipe,name={pipe};urp;StarOffice.ComponentContext")
            return remote.ServiceManager.createInstanceWithContext("com.sun.star.frame.Desktop", remote)
        except NoConnectException:
            time.sleep(0.1)
    raise SystemExit("LibreOffice did not start")


class Person:
    def __init__(self, desktop):
        self.desktop = desktop
        self.document = None

    def open(self, path):
        url = uno.systemPathToFileUrl(path)
        self.document = self.desktop.loadComponentFromURL(url, "_blank", 0, (prop("Hidden", True),))
        self.sheet = self.document.Sheets.getByName("Deals")

    def read(self, area):
        return [list(row) for row in self.sheet.getCellRangeByName(area).getDataArray()]

    def kind(self, cell):
        return self.sheet.getCellRangeByName(cell).Type.value

    def compute(self):
        self.document.calculateAll()

    def type(self, cell, value):
        target = self.sheet.getCellRangeByName(cell)
        if isinstance(value, str):
            target.String = value
        else:
            target.Value = value

    def sort(self, area, column, ascending):
        field = uno.createUnoStruct("com.sun.star.table.TableSortField")
        field.Field, field.IsAscending = column, ascending
        fields = uno.Any("[]com.sun.star.table.TableSortField", (field,))
        options = (prop("SortFields", fields), prop("ContainsHeader", False))
        uno.invoke(self.sheet.getCellRangeByName(area), "sort", (options,))

    def add_column(self, place, title):
        self.sheet.Columns.insertByIndex(place, 1)
        self.sheet.getCellByPosition(place, 0).String = title

    def delete_row(self, place):
        self.sheet.Rows.removeByIndex(place, 1)

    def charts(self):
        page = self.sheet.DrawPage
        return [page.Count, self.sheet.Charts.Count]

    def save(self):
        self.document.store()

    def close(self):
        self.document.close(True)


def main():
    person = Person(connect(sys.argv[1]))
    for line in sys.stdin:
        verb, *args = json.loads(line)
        print(json.dumps(getattr(person, verb)(*args)), flush=True)


main()
