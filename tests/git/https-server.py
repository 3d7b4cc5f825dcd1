#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A git server for tests: https around git http-backend, with a token, on a loopback port of its own choice.

Prints the port. Appends a line "METHOD PATH CREDENTIALS STATUS" for each request to --log. Below /public/ no token is
asked for, below /slow/ the answer drips, /moved/ redirects to the same host and /away/ to --away.
"""
import argparse, base64, http.server, os, ssl, subprocess, threading, time

parser = argparse.ArgumentParser()
for name in ("root", "cert", "key", "token", "log", "away"):
    parser.add_argument("--" + name, default="")
args = parser.parse_args()
expected = "Basic " + base64.b64encode(("x-access-token:" + args.token).encode()).decode()
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers=(), body=b"", slow=False):
        kind = "none" if "Authorization" not in self.headers else \
            "right" if self.headers["Authorization"] == expected else "wrong"
        with lock, open(args.log, "a") as log:
            log.write(f"{self.command} {self.path} {kind} {status}\n")
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        step = 20000 if slow else len(body) + 1
        for i in range(0, len(body), step):
            self.wfile.write(body[i:i + step])
            if slow:
                self.wfile.flush()
                time.sleep(0.05)

    def body(self):
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def serve(self):
        data = self.body()
        path, _, query = self.path.partition("?")
        place, rest = path.lstrip("/").split("/", 1) if path.count("/") > 1 else ("", "")
        if place in ("moved", "away"):
            base = args.away if place == "away" else ""
            return self.answer(302, [("Location", f"{base}/git/{rest}" + ("?" + query if query else ""))])
        if place not in ("git", "slow", "public"):
            return self.answer(404)
        if place == "git" and self.headers.get("Authorization") != expected:
            return self.answer(401, [("WWW-Authenticate", 'Basic realm="git"')])
        environment = dict(os.environ, GIT_PROJECT_ROOT=args.root, GIT_HTTP_EXPORT_ALL="1", PATH_INFO="/" + rest,
                           REQUEST_METHOD=self.command, QUERY_STRING=query, CONTENT_LENGTH=str(len(data)),
                           CONTENT_TYPE=self.headers.get("Content-Type", ""), REMOTE_ADDR="127.0.0.1",
                           HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""),
                           GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0="*")
        done = subprocess.run(["git", "http-backend"], input=data, env=environment, stdout=subprocess.PIPE)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n") if line]
        status = next((int(v.split()[0]) for n, v in headers if n == "Status"), 200)
        self.answer(status, [h for h in headers if h[0] not in ("Status", "Content-Length")], body,
                    slow=place == "slow" and self.command == "POST")

    do_GET = do_POST = serve


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(args.cert, args.key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
