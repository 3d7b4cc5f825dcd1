# SPDX-License-Identifier: MIT
"""The verbs of tests/lib/nf-test. Each takes texts, prints its result and returns the exit status; None is 0."""
