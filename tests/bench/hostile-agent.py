#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# An agent for tools/bench that speaks Claude Code's protocol and means harm. A message is one of
#
#     objects BYTES    a line with an array of so many bytes of empty objects
#     text BYTES       a line with a text
#     question BYTES   a question about a tool with an input
#
# and ends the turn.
import json
import sys


def say(**message):
    print(json.dumps(message), flush=True)


def text_of(content):
    return content if isinstance(content, str) else "".join(c.get("text", "") for c in content)


def perform(kind, size):
    if kind == "objects":
        sys.stdout.write('{"type":"system","subtype":"hostile","session_id":"s-1","data":[%s]}\n' % ",".join(["{}"] * (size // 3)))
    elif kind == "text":
        say(type="assistant", session_id="s-1", uuid="u-1", message={"id": "m-1", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": "x" * size}], "stop_reason": None, "usage": {}})
    else:
        say(type="control_request", request_id="q-1", request={"subtype": "can_use_tool", "tool_name": "Bash", "tool_use_id": "t-1",
            "input": {"command": "x" * size}})


for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "control_request":
        say(type="control_response", response={"subtype": "success", "request_id": m["request_id"], "response": {"commands": []}})
    elif m["type"] == "user":
        say(type="system", subtype="init", cwd=".", session_id="s-1", tools=["Bash"], mcp_servers=[], model="m", permissionMode="default")
        kind, size = text_of(m["message"]["content"]).split()
        perform(kind, int(size))
        say(type="result", subtype="success", is_error=False, session_id="s-1", num_turns=1, result="", total_cost_usd=0, usage={})
