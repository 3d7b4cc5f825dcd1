# SPDX-License-Identifier: MIT
"""Introspection of D-Bus objects."""
import xml.etree.ElementTree as ElementTree


def members(file, name):
    """Methods, signals and properties of an interface in an introspection file, as far as callers see them."""
    result = set()
    for interface in ElementTree.parse(file).getroot().iter("interface"):
        for m in interface if interface.get("name") == name else ():
            if m.tag in ("method", "signal"):
                direction = "in" if m.tag == "method" else "out"
                arguments = tuple((a.get("direction", direction), a.get("type")) for a in m.iter("arg"))
                result.add((m.tag, m.get("name"), arguments))
            elif m.tag == "property":
                result.add((m.tag, m.get("name"), m.get("type"), m.get("access")))
    return result


def same_interface(file, other, name):
    """same-interface FILE OTHER NAME: exit status 0 where the interface NAME has the same members in both introspection files."""
    a, b = members(file, name), members(other, name)
    print("only in the first:", a - b, "only in the second:", b - a)
    return not a or not b or a != b


def keeps_interface(file, other, name):
    """keeps-interface FILE OTHER NAME: exit status 0 where OTHER has all members of the interface NAME in FILE, and perhaps more."""
    a, lost = members(file, name), members(file, name) - members(other, name)
    print("lost or changed:", lost)
    return not a or bool(lost)
