#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# An agent that speaks Claude Code's protocol and writes what no agent should. Each message is an order:
#   values N     a line of N bytes with a message of [{},{},...]
#   text N       one with a text of N bytes
#   question N   one that asks for a tool with an input of [{},{},...]; the answer is said
#   ask N        the same, with a text in place of the values
#   double       a question in which the tool's name stands twice
#   wait PATH    does the rest of the order once PATH is there
import json
import os
import sys
import time


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def text(t):
    say(json.dumps({"type": "assistant", "session_id": "s-1", "message": {"content": [{"type": "text", "text": t}]}}))


def filled(before, after, size):
    n = size - len(before) - len(after) - len("[]")
    # The last value is a string, so that the size is met to the byte.
    return before + "[" + "{}," * ((n - 5) // 3) + '"' + "x" * ((n - 5) % 3 + 3) + '"]' + after


def answer():
    for line in sys.stdin:
        m = json.loads(line)
        if m["type"] == "control_response":
            r = m["response"]
            if "error" in r:
                return "%s %s" % (r["request_id"], r["error"])
            a = r["response"]
            return "%s %s: %s" % (r["request_id"], a["behavior"], a.get("message") or "%d bytes" % len(a["updatedInput"]["x"]))


def obey(order):
    what, _, rest = order.partition(" ")
    if what == "wait":
        path, _, rest = rest.partition(" ")
        while not os.path.exists(path):
            time.sleep(0.1)
        obey(rest)
    elif what == "values":
        say(filled('{"type":"assistant","message":{"content":', "}}", int(rest)))
    elif what == "text":
        text("t" * int(rest))
    elif what == "question":
        say(filled('{"type":"control_request","request_id":"long","request":{"subtype":"can_use_tool","tool_name":"Bash","input":'
                   '{"x":', "}}}", int(rest)))
        text("answer: %s" % answer())
    elif what == "ask":
        before, after = '{"type":"control_request","request_id":"ask","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"x":"', '"}}}'
        say(before + "x" * (int(rest) - len(before) - len(after)) + after)
        text("answer: %s" % answer())
    elif what == "double":
        say('{"type":"control_request","request_id":"twice","request":{"subtype":"can_use_tool","tool_name":"Read","tool_name":'
            '"Bash","input":{}}}')
        text("answer: %s" % answer())


for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "control_request":
        say(json.dumps({"type": "control_response", "response": {"subtype": "success", "request_id": m["request_id"],
                                                                 "response": {"commands": []}}}))
    elif m["type"] == "user":
        content = m["message"]["content"]
        order = content if isinstance(content, str) else "".join(c.get("text", "") for c in content)
        say(json.dumps({"type": "system", "subtype": "init", "session_id": "s-1", "model": "long", "permissionMode": "default"}))
        obey(order)
        say(json.dumps({"type": "result", "subtype": "success", "is_error": False, "session_id": "s-1", "result": "did " + order,
                        "total_cost_usd": 0.001, "usage": {"input_tokens": 1, "output_tokens": 1}}))
