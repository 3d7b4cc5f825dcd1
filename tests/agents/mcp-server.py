#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The least MCP server there can be: one tool, "ping", that says what PROBE is in its environment."""
import json
import os
import sys

TOOL = {'name': 'ping', 'description': 'answers', 'inputSchema': {'type': 'object', 'properties': {}}}


def answer(method, params):
    if method == 'initialize':
        return {'protocolVersion': params.get('protocolVersion', '2025-06-18'), 'capabilities': {'tools': {}},
                'serverInfo': {'name': 'probe', 'version': '1'}}
    if method == 'tools/list':
        return {'tools': [TOOL]}
    if method == 'tools/call':
        return {'content': [{'type': 'text', 'text': 'pong ' + os.environ.get('PROBE', '')}]}
    return {}


for line in sys.stdin:
    request = json.loads(line)
    if 'id' in request:
        result = answer(request['method'], request.get('params', {}))
        print(json.dumps({'jsonrpc': '2.0', 'id': request['id'], 'result': result}), flush=True)
