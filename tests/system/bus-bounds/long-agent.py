#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# An agent that speaks Claude Code's protocol and writes lines as long as it is told: the message `text N` is a text of N
# bytes, `blocks N` a line with N texts, `ask N` a question whose input is N bytes of JSON, `end` the end of the turn; several at
# once are separated by blanks. The texts hold what is easily broken: characters of several bytes, quotes, and characters that
# the bus does not carry.
import json
import sys

PATTERN = 'a"\\ä€😀\ufffe\U0010ffff'


def say(**message):
    sys.stdout.buffer.write(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    sys.stdout.buffer.flush()


def pattern(size):
    one = len(json.dumps(PATTERN, ensure_ascii=False).encode()) - 2
    return PATTERN * (size // one) + "x" * (size % one)


def assistant(content):
    say(type="assistant", session_id="s-1", parent_tool_use_id=None, uuid="u-1",
        message={"id": "msg-1", "type": "message", "role": "assistant", "model": "long", "content": content,
                 "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}})


def end():
    say(type="result", subtype="success", is_error=False, session_id="s-1", num_turns=1, result="", stop_reason="end_turn",
        total_cost_usd=0.001, duration_ms=1, usage={"input_tokens": 1, "output_tokens": 1})


def carry_out(words):
    for i, (word, n) in enumerate(zip(words, words[1:] + ["0"])):
        if word == "text":
            assistant([{"type": "text", "text": pattern(int(n))}])
        elif word == "blocks":
            assistant([{"type": "text", "text": "block %d " % k + "y" * 1000} for k in range(int(n))])
        elif word == "ask":
            size = int(n) - len('{"command":""}')
            say(type="control_request", request_id="ask-%d" % i, request={
                "subtype": "can_use_tool", "tool_name": "Bash", "display_name": "Bash", "input": {"command": pattern(size)},
                "description": "Run it", "permission_suggestions": [], "tool_use_id": "tool-%d" % i})
        elif word == "end":
            end()


for line in sys.stdin:
    m = json.loads(line)
    if m["type"] == "control_request":
        say(type="control_response", response={"subtype": "success", "request_id": m["request_id"], "response": {"commands": []}})
    elif m["type"] == "control_response":
        end()
    elif m["type"] == "user":
        say(type="system", subtype="init", cwd=".", session_id="s-1", tools=["Bash"], mcp_servers=[], model="long",
            permissionMode="default")
        content = m["message"]["content"]
        carry_out((content if isinstance(content, str) else "".join(c.get("text", "") for c in content)).split())
