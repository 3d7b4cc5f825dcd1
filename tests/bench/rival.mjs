// SPDX-License-Identifier: MIT
// The least that a runner in Node can be, for tools/bench to measure beside the real one: the event stream, a child
// process for each conversation, and for each line of it one POST, in order within a conversation. No store, no scope.
//
//     node rival.mjs URL AGENT
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import http from 'node:http';

const [url, executable] = process.argv.slice(2);
const target = new URL('/api/runner/messages', url);
const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
const conversations = new Map();

function post(body) {
        return new Promise((resolve, reject) => {
                const text = JSON.stringify(body);
                const request = http.request(
                        target,
                        {
                                method: 'POST',
                                agent,
                                headers: {
                                        'content-type': 'application/json',
                                        'content-length': Buffer.byteLength(text),
                                        authorization: 'Bearer rival',
                                },
                        },
                        (response) => {
                                response.resume();
                                response.on('end', () => (response.statusCode < 300 ? resolve() : reject(new Error(String(response.statusCode)))));
                        });
                request.on('error', reject);
                request.end(text);
        });
}

// What cannot be sent stays in memory, and is tried again.
async function deliver(body) {
        for (;;) {
                try {
                        return await post(body);
                } catch {
                        await new Promise((resolve) => setTimeout(resolve, 500));
                }
        }
}

function event(line) {
        switch (line.type) {
        case 'started':
                return { type: 'started', version: line.version, cwd: line.cwd };
        case 'output':
                return { type: 'text', delta: line.text, stream: line.stream };
        case 'turn_end':
                return { type: 'turn_end', ok: line.exitCode === 0, exitCode: line.exitCode };
        default:
                return undefined;
        }
}

class Conversation {
        constructor(id) {
                this.id = id;
                this.queue = [];
                this.first = 0;
                this.sending = false;
                this.n = 0;
                this.child = spawn(executable, [], { stdio: ['pipe', 'pipe', 'inherit'] });
                createInterface({ input: this.child.stdout }).on('line', (line) => this.take(line));
                this.child.on('exit', () => this.push('conversation.ended', { reason: 'completed' }));
        }

        take(line) {
                const e = event(JSON.parse(line));
                if (e)
                        this.push('message.agent', { event: e });
        }

        push(method, members) {
                this.queue.push({
                        jsonrpc: '2.0',
                        method,
                        params: { messageId: `${this.id}:${this.n++}`, conversationId: this.id, run: 1, ...members },
                });
                if (!this.sending)
                        this.send();
        }

        async send() {
                this.sending = true;
                while (this.first < this.queue.length) {
                        await deliver(this.queue[this.first]);
                        this.queue[this.first++] = undefined;
                }
                this.queue = [];
                this.first = 0;
                this.sending = false;
        }

        write(line) {
                this.child.stdin.write(`${JSON.stringify(line)}\n`);
        }
}

function take(envelope) {
        const { method, params } = envelope.payload;
        if (method === 'conversation.start')
                conversations.set(params.conversationId, new Conversation(params.conversationId));
        else if (method === 'message.user')
                conversations.get(params.conversationId)?.write({ type: 'user', id: envelope.id, text: params.content });
        else if (method === 'conversation.stop')
                conversations.get(params.conversationId)?.write({ type: 'end' });
}

let cursor = 0;

function listen() {
        http.get(new URL(`/api/runner/events?since=${cursor}`, url), { headers: { accept: 'text/event-stream' } }, (response) => {
                let text = '';
                response.setEncoding('utf8');
                response.on('data', (chunk) => {
                        text += chunk;
                        for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
                                const lines = text.slice(0, end).split('\n');
                                const data = lines.find((line) => line.startsWith('data: '));
                                const id = lines.find((line) => line.startsWith('id: '));
                                if (data)
                                        take(JSON.parse(data.slice(6)));
                                if (id)
                                        cursor = Number(id.slice(4));
                        }
                });
                response.on('close', () => setTimeout(listen, 500));
        }).on('error', () => setTimeout(listen, 500));
}

await deliver({ jsonrpc: '2.0', id: 1, method: 'runner.register', params: {} });
listen();
