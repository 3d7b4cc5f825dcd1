#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs one conversation from its start to its end, over D-Bus. It reads the events piece by piece (ReadEvents), allows each
question of the agent, and stops the conversation after the first turn.

    ./conversation.py claude 'Fix the test'

It needs only busctl(1) and the standard library, and works over ssh: set BUSCTL="busctl -H admin@build1". A program with a
D-Bus library waits for the signal EventsAvailable instead of sleeping.
"""
import json
import os
import subprocess
import sys
import time

NAME = "org.northflare.Runner1"
MANAGER = "/org/northflare/Runner1"
BUSCTL = os.environ.get("BUSCTL", "busctl").split()


def call(path, interface, method, *arguments):
    """Returns the reply's values. busctl prints an error of the runner."""
    p = subprocess.run([*BUSCTL, "--json=short", "--timeout=60", "call", NAME, path, NAME + "." + interface, method, *arguments],
                       stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(p.stdout)["data"] if p.stdout.strip() else []


class Conversation:
    def __init__(self, **parameters):
        # The key "json" takes parameters that are awkward in a{sv}.
        self.id, = call(MANAGER, "Manager", "StartConversation", "a{sv}", "1", "json", "s", json.dumps(parameters))
        self.path, = call(MANAGER, "Manager", "GetConversation", "s", self.id)

    def call(self, method, *arguments):
        return call(self.path, "Conversation", method, *arguments)

    def whole(self, event):
        """Returns the whole event. ReadEvents cuts one of more than 64 KiB; ReadEvent returns it in pieces."""
        cut, text, size = event["params"].get("cut"), b"", 1
        if not cut:
            return event
        while len(text) < size:
            piece, size = self.call("ReadEvent", "st", cut["cursor"], str(len(text)))
            text += piece.encode()
        return json.loads(text)

    def events(self):
        """Yields the events as the orchestrator gets them: (method, params)."""
        cursor = ""
        while True:
            texts, cursor = self.call("ReadEvents", "su", cursor, "100")
            for text in texts:
                event = self.whole(json.loads(text))
                yield event["method"], event["params"]
                if event["method"] == "conversation.ended":
                    return
            if not texts:
                time.sleep(0.2)


def main():
    agent, prompt = (sys.argv[1:] + ["claude", "Say hello."][len(sys.argv) - 1:])[:2]
    c = Conversation(agent=agent, prompt=prompt)
    print("started", c.id, flush=True)
    for method, params in c.events():
        if method == "permission.request":
            print("question %s: allow" % params["messageId"])
            c.call("AnswerPermission", "ssa{sv}", params["messageId"], "allow", "0")
        elif method == "message.agent":
            print("event", params["event"]["type"])
            if params["event"]["type"] == "turn_end":
                c.call("Stop", "a{sv}", "1", "reason", "s", "the example is over")
        elif method == "conversation.ended":
            print("ended:", params["reason"])
        else:
            print(method)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
