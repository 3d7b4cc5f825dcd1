#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# An agent for tools/bench that speaks Claude Code's protocol and means harm. A message is one of
#
#     objects BYTES    a question whose input is an array of so many bytes of empty objects
#     question BYTES   a question whose input is a text
#     text BYTES       a line with a text
#
# and ends the turn.
import json
import sys


def say(**message):
    print(json.dumps(message), flush=True)


def text_of(content):
    return content if isinstance(content, str) else "".join(c.get("text", "") for c in content)


def perform(kind, size):
    if kind == "text":
        say(type="assistant", session_id="s-1", uuid="u-1", message={"id": "m-1", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": "x" * size}], "stop_reason": None, "usage": {}})
    else:
        say(type="control_request", request_id="q-1", request={"subtype": "can_use_tool", "tool_name": "Bash", "tool_use_id": "t-1",
            "input": {"command": [{}] * (size // 4) if kind == "objects" else "x" * size}})


for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "control_request":
        say(type="control_response", response={"subtype": "success", "request_id": m["request_id"], "response": {"commands": []}})
        if m["request"].get("subtype") == "initialize":
            say(type="system", subtype="init", cwd=".", session_id="s-1", tools=["Bash"], mcp_servers=[], model="m",
                permissionMode="default")
    elif m["type"] == "user":
        kind, size = text_of(m["message"]["content"]).split()
        perform(kind, int(size))
        say(type="result", subtype="success", is_error=False, session_id="s-1", num_turns=1, result="", total_cost_usd=0, usage={})
