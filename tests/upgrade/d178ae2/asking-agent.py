#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# An agent that speaks Claude Code's protocol and asks before each message is carried out: `ok TEXT` where it may, `no TEXT`
# where it may not. For tests and examples that need a question and no model.
import json
import sys

waiting = {}  # request id: text
asked = 0


def say(**message):
    print(json.dumps(message), flush=True)


def assistant(content):
    say(type="assistant", session_id="s-1", parent_tool_use_id=None, uuid="u-%d" % asked,
        message={"id": "msg-%d" % asked, "type": "message", "role": "assistant", "model": "asking", "content": [content],
                 "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}})


def text_of(content):
    return content if isinstance(content, str) else "".join(c.get("text", "") for c in content)


for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "control_request":
        say(type="control_response", response={"subtype": "success", "request_id": m["request_id"], "response": {"commands": []}})
        if m["request"].get("subtype") == "interrupt":
            waiting.clear()
            say(type="result", subtype="error_during_execution", is_error=True, session_id="s-1", num_turns=1, result="",
                total_cost_usd=0, usage={})
    elif m["type"] == "user":
        asked += 1
        text = text_of(m["message"]["content"])
        say(type="system", subtype="init", cwd=".", session_id="s-1", tools=["Bash"], mcp_servers=[], model="asking",
            permissionMode="default")
        print("asking-agent: asked for the %dth time" % asked, file=sys.stderr, flush=True)
        assistant({"type": "tool_use", "id": "tool-%d" % asked, "name": "Bash", "input": {"command": text}})
        waiting["ask-%d" % asked] = text
        say(type="control_request", request_id="ask-%d" % asked, request={
            "subtype": "can_use_tool", "tool_name": "Bash", "display_name": "Bash", "input": {"command": text},
            "description": text, "permission_suggestions": [], "tool_use_id": "tool-%d" % asked})
    elif m["type"] == "control_response":
        text = waiting.pop(m["response"].get("request_id"), None)
        if text is None:
            continue
        answer = "ok" if m["response"].get("response", {}).get("behavior") == "allow" else "no"
        say(type="user", session_id="s-1", parent_tool_use_id=None, uuid="r-%d" % asked, message={"role": "user", "content": [
            {"tool_use_id": "tool-%d" % asked, "type": "tool_result", "content": answer, "is_error": answer == "no"}]})
        assistant({"type": "text", "text": "%s %s" % (answer, text)})
        say(type="result", subtype="success", is_error=False, session_id="s-1", num_turns=1, result="%s %s" % (answer, text),
            stop_reason="end_turn", total_cost_usd=0.001, duration_ms=1, usage={"input_tokens": 1, "output_tokens": 1})
