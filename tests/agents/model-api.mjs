// SPDX-License-Identifier: MIT
// A model on loopback that speaks as much of the Anthropic Messages API as Claude Code needs for whole turns.
//
//     node model-api.mjs PORT LOGFILE      (PORT 0: any; the first line on stdout is "listening PORT")
//
// The newest user text that holds MOCK:WORD ARGUMENT decides the answer:
//     bash CMD, write PATH, read PATH, call TOOL JSON   a tool is called; its result is said back
//     two                                               two tools in one message
//     slow SECONDS, big BYTES, think, odd, echo         text: slowly, a lot, with thinking, with odd characters, the request
//     err STATUS, cut, hang                             an error of the API, a broken stream, one that never ends
// Anything else is greeted. Each request becomes one JSON line in LOGFILE.
import fs from 'node:fs';
import http from 'node:http';
import zlib from 'node:zlib';

const [, , port, logFile] = process.argv;
let requests = 0;

const log = (entry) => fs.appendFileSync(logFile, JSON.stringify(entry) + '\n');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const blocks = (content) => (typeof content === 'string' ? [{ type: 'text', text: content }] : content ?? []);
const texts = (content) => blocks(content).filter((b) => b.type === 'text').map((b) => b.text);
const resultText = (b) => (typeof b.content === 'string' ? b.content : texts(b.content).join(''));

// The directive in force: that of the newest user message with one, unless a later plain message follows it.
function directive(messages, answersTool) {
    for (const message of [...messages].reverse()) {
        if (message.role !== 'user') continue;
        const text = texts(message.content).map((t) => t.replace(/<system-reminder>.*?<\/system-reminder>/gs, '')).join('\n');
        const found = [...text.matchAll(/MOCK:(\w+)(?: ([^\n]*))?/g)].pop();
        if (found) return { word: found[1], argument: (found[2] ?? '').trim() };
        if (text.trim() && !answersTool) break;
    }
    return { word: 'hello', argument: '' };
}

function sendError(response, status) {
    const types = {
        400: 'invalid_request_error', 401: 'authentication_error', 403: 'permission_error', 404: 'not_found_error',
        429: 'rate_limit_error', 529: 'overloaded_error',
    };
    const error = { type: types[status] ?? 'api_error', message: `mock error ${status}` };
    const headers = { 'content-type': 'application/json', 'request-id': `req_mock_${requests}` };
    if (status === 429) headers['retry-after'] = '1';
    response.writeHead(status, headers);
    response.end(JSON.stringify({ type: 'error', error }));
}

// One streamed message.
class Stream {
    constructor(response, model) {
        this.response = response;
        this.index = 0;
        response.writeHead(200, { 'content-type': 'text/event-stream', 'request-id': `req_mock_${requests}` });
        this.send('message_start', {
            message: {
                id: `msg_mock_${requests}`, type: 'message', role: 'assistant', model, content: [], stop_reason: null,
                stop_sequence: null,
                usage: { input_tokens: 100, cache_creation_input_tokens: 20, cache_read_input_tokens: 30, output_tokens: 1 },
            },
        });
    }

    send(type, members) {
        this.response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...members })}\n\n`);
    }

    begin(content_block) {
        this.send('content_block_start', { index: this.index, content_block });
    }

    delta(delta) {
        this.send('content_block_delta', { index: this.index, delta });
    }

    stop() {
        this.send('content_block_stop', { index: this.index++ });
    }

    async text(text, piece = text.length || 1, ms = 0) {
        this.begin({ type: 'text', text: '' });
        for (let i = 0; i < text.length; i += piece) {
            if (this.response.destroyed) return;
            this.delta({ type: 'text_delta', text: text.slice(i, i + piece) });
            if (ms) await sleep(ms);
        }
        this.stop();
    }

    tool(name, input) {
        const json = JSON.stringify(input);
        this.begin({ type: 'tool_use', id: `toolu_mock_${requests}_${this.index}`, name, input: {} });
        for (let i = 0; i < json.length; i += 40) this.delta({ type: 'input_json_delta', partial_json: json.slice(i, i + 40) });
        this.stop();
    }

    end(stop_reason, output_tokens = 7) {
        this.send('message_delta', { delta: { stop_reason, stop_sequence: null }, usage: { output_tokens } });
        this.send('message_stop', {});
        this.response.end();
    }
}

const tools = {
    bash: (s, argument) => s.tool('Bash', { command: argument, description: 'mock command' }),
    write: (s, argument) => s.tool('Write', { file_path: argument, content: 'written by mock\n' }),
    read: (s, argument) => s.tool('Read', { file_path: argument }),
    call: (s, argument) => {
        const [name, ...json] = argument.split(' ');
        s.tool(name, JSON.parse(json.join(' ') || '{}'));
    },
    two: (s) => {
        s.tool('Bash', { command: 'echo one > one.txt', description: 'one' });
        s.tool('Bash', { command: 'echo two > two.txt', description: 'two' });
    },
};

async function answer(stream, { word, argument }, request, results) {
    if (tools[word] && results.length === 0) {
        await stream.text('I will use a tool. ');
        tools[word](stream, argument);
        return stream.end('tool_use', 42);
    }
    switch (word) {
    case 'slow': {
        const words = Array.from({ length: (Number(argument) || 10) * 5 }, (_, i) => `w${i} `);
        await stream.text(words.join(''), 4, 200);
        break;
    }
    case 'big':
        await stream.text('B'.repeat(Number(argument) || 100000), 4096);
        break;
    case 'think':
        stream.begin({ type: 'thinking', thinking: '', signature: '' });
        stream.delta({ type: 'thinking_delta', thinking: 'pondering...' });
        stream.delta({ type: 'signature_delta', signature: 'c2ln' });
        stream.stop();
        await stream.text('Thought about it.');
        break;
    case 'odd':
        await stream.text('nul[\u0000] esc[\u001b] emoji[😀] ls[\u2028] bom[\ufeff] lone[\ud83d] quote["] del[\u007f]');
        break;
    case 'echo':
        await stream.text(`model=${request.model} messages=${request.messages.length}`);
        break;
    case 'cut':
        stream.begin({ type: 'text', text: '' });
        stream.delta({ type: 'text_delta', text: 'partial ' });
        await sleep(100);
        return stream.response.destroy();
    case 'hang':
        stream.begin({ type: 'text', text: '' });
        stream.delta({ type: 'text_delta', text: 'partial ' });
        return undefined;
    default:
        if (results.length > 0)
            await stream.text(`Tool said: ${JSON.stringify(results.map(resultText)).slice(0, 600)}`, 20);
        else
            await stream.text(`Hello, message ${request.messages.filter((m) => m.role === 'user').length}.`, 6);
    }
    return stream.end('end_turn');
}

async function serve(request, response, body) {
    const messages = body.messages ?? [];
    const last = [...messages].reverse().find((m) => m.role === 'user') ?? { content: [] };
    const results = blocks(last.content).filter((b) => b.type === 'tool_result');
    const what = directive(messages, results.length > 0);

    log({
        url: request.url, model: body.model, stream: Boolean(body.stream), directive: what,
        tools: (body.tools ?? []).map((t) => t.name), system: blocks(body.system).map((b) => b.text).join('\n'),
        messages: messages.map((m) => `${m.role}:${blocks(m.content).map((b) => b.type).join('+')}`),
        last: JSON.stringify(last).slice(0, 4000), text: JSON.stringify(messages).slice(0, 1 << 20),
    });
    if (what.word === 'err') return sendError(response, Number(what.argument) || 500);
    if (!body.stream) {
        response.setHeader('content-type', 'application/json');
        return response.end(JSON.stringify({
            id: 'msg_mock', type: 'message', role: 'assistant', model: body.model, content: [{ type: 'text', text: 'ok' }],
            stop_reason: 'end_turn', stop_sequence: null, usage: { input_tokens: 1, output_tokens: 1 },
        }));
    }
    return answer(new Stream(response, body.model), what, { model: body.model, messages }, results);
}

const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', async () => {
        try {
            let bytes = Buffer.concat(chunks);
            if (request.headers['content-encoding'] === 'gzip') bytes = zlib.gunzipSync(bytes);
            requests++;
            if (request.url.startsWith('/v1/messages/count_tokens')) {
                response.setHeader('content-type', 'application/json');
                response.end('{"input_tokens":10}');
            } else if (request.url.startsWith('/v1/messages')) {
                await serve(request, response, JSON.parse(bytes.toString() || '{}'));
            } else {
                response.writeHead(404, { 'content-type': 'application/json' });
                response.end('{}');
            }
        } catch (error) {
            log({ failed: String(error?.stack) });
            response.destroy();
        }
    });
});
server.listen(Number(port), '127.0.0.1', () => console.log(`listening ${server.address().port}`));
