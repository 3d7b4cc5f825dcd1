# SPDX-License-Identifier: MIT
"""Values of northflarectl metrics, by the reader of tests/openmetrics.py."""
import importlib.util
import os


def reader():
    path = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../openmetrics.py")
    spec = importlib.util.spec_from_file_location("openmetrics_reader", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def metric(file, name, *labels):
    """metric FILE NAME [LABEL=VALUE…] [VALUE-WHERE-NONE]: prints the value of that series in an OpenMetrics text."""
    *labels, none = [*labels, None] if not labels or "=" in labels[-1] else labels
    key = name, frozenset(tuple(l.split("=", 1)) for l in labels)
    with open(file, "rb") as f:
        values = reader().values(f.read())
    value = values[key] if none is None else values.get(key, float(none))
    print("%d" % value if value == int(value) else "%g" % value)
