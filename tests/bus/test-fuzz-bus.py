# SPDX-License-Identifier: MIT
"""The fuzzer of the bus against the runner's objects: as root, as nobody, as an agent. NF_SEED chooses what is sent."""

import json
import os
import subprocess
import sys
import unittest

from buslib import *

FAKE, DBUS_DIR, HERE = sys.argv[1], sys.argv[2], os.path.dirname(os.path.abspath(__file__))
FIRST = path_of("first")
AGENT = 2
LISTS = ("ListConversations", "GetConversation", "ListResources", "ListTotals")


@unittest.skipUnless(can_change_user(), "needs root and setpriv")
class Fuzz(unittest.TestCase):
    def setUp(self):
        self.bus = Bus(FAKE)
        self.addCleanup(self.bus.close)
        self.bus.set("agents-gid", str(AGENT))

    def fuzz(self, uid, *arguments):
        argv = [sys.executable, os.path.join(HERE, "fuzz-bus.py"), "--socket", self.bus.dir + "/bus", "--name", NAME,
                "--xml", os.path.join(DBUS_DIR, NAME + ".xml"), "--seed", os.environ.get("NF_SEED", "1"),
                "--rounds", os.environ.get("NF_ROUNDS", "6"), *arguments]
        p = subprocess.run(as_user(uid) + argv if uid else argv, env=self.bus.env, capture_output=True, text=True, timeout=3000)
        print(p.stdout, file=sys.stderr)
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)

    def check_alive(self):
        self.assertTrue(self.bus.alive(), "the runner died")
        self.assertTrue(self.bus.call(MANAGER, I_MANAGER, "ListConversations")[0])

    def test_nobody(self):
        self.bus.set("polkit", "no")
        before = self.bus.call(FIRST, I_CONVERSATION, "Describe")
        self.bus.last_call()
        self.fuzz(NOBODY, "--refused", *("--may=" + m for m in LISTS))
        self.assertIsNone(self.bus.last_call())
        self.assertEqual(self.bus.call(FIRST, I_CONVERSATION, "Describe"), before)
        self.check_alive()

    def test_agent(self):
        before = self.bus.call(FIRST, I_CONVERSATION, "Describe")
        self.fuzz(AGENT, "--refused", "--no-huge")
        self.assertIsNone(self.bus.last_call())
        self.assertEqual(self.bus.call(FIRST, I_CONVERSATION, "Describe"), before)
        self.check_alive()
        # All that it was is two lines: the first, and those of a minute together.
        lines = [w for w in json.loads(self.bus.test("Audit")[0]) if w["verdict"] == "refused" and w["uid"] == AGENT]
        self.assertLessEqual(len(lines), 3)

    def test_root(self):
        self.fuzz(0)
        self.check_alive()


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
