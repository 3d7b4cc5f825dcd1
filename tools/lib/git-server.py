# SPDX-License-Identifier: MIT
"""Serves the git repositories below a directory over http, by git's own http-backend, for tests and the demo.

git-server.py DIRECTORY PORT     one line on stdout once it listens; loopback only
"""
import http.server
import os
import socketserver
import subprocess
import sys
import urllib.parse

DIRECTORY, PORT = os.path.abspath(sys.argv[1]), int(sys.argv[2])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def body(self):
        if self.headers.get('Transfer-Encoding', '').lower() != 'chunked':
            return self.rfile.read(int(self.headers.get('Content-Length') or 0))
        parts = []
        while size := int(self.rfile.readline().split(b';')[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b''.join(parts)

    def serve(self):
        url = urllib.parse.urlsplit(self.path)
        env = {
            'PATH': os.environ['PATH'],
            'GIT_PROJECT_ROOT': DIRECTORY,
            'GIT_HTTP_EXPORT_ALL': '1',
            'GIT_CONFIG_COUNT': '1',
            'GIT_CONFIG_KEY_0': 'safe.directory',
            'GIT_CONFIG_VALUE_0': '*',
            'REQUEST_METHOD': self.command,
            'PATH_INFO': urllib.parse.unquote(url.path),
            'QUERY_STRING': url.query,
            'CONTENT_TYPE': self.headers.get('Content-Type', ''),
            'HTTP_CONTENT_ENCODING': self.headers.get('Content-Encoding', ''),
            'HTTP_GIT_PROTOCOL': self.headers.get('Git-Protocol', ''),
        }
        done = subprocess.run(['git', 'http-backend'], input=self.body(), stdout=subprocess.PIPE, env=env, check=False)
        head, _, body = done.stdout.partition(b'\r\n\r\n')
        headers = [line.split(': ', 1) for line in head.decode().split('\r\n') if line]
        status = next((value for name, value in headers if name == 'Status'), '200 OK')
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name not in ('Status', 'Content-Length'):
                self.send_header(name, value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = serve


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True


with Server(('127.0.0.1', PORT), Handler) as server:
    print('listening', flush=True)
    server.serve_forever()
