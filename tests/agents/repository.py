# SPDX-License-Identifier: MIT
"""Scenarios with a repository that says and does things: what it says reaches the agent, what it does counts where it is
trusted. The trusted one shows that each mark can be seen."""
import json
import os
import time

from harness import check, new_id

HOOKS = ('SessionStart', 'UserPromptSubmit', 'PreToolUse', 'Stop')
# What says something, and what does something: word by word to be looked for in the requests to the model.
SAID = ('WORDS-CLAUDE', 'WORDS-DOT-CLAUDE', 'WORDS-AGENTS')
DONE = ('DOES-AGENT', 'DOES-COMMAND', 'DOES-SKILL', 'DOES-STYLE', 'DOES-RULE')
# Each leaves a file of this name, with its environment.
MARKS = (*HOOKS, 'apiKeyHelper', 'mcp')
NEVER = ('statusLine', 'local', 'plugin', 'preload', 'shell-rc', 'other')


class Repository:
    """A checkout with everything in it that Claude Code might take for an order, in a folder with HOME and TMPDIR."""

    def __init__(self, folder):
        self.folder = folder
        self.path, self.marks = folder.file('checkout'), folder.file('marks')
        os.mkdir(self.marks)
        # Below the directory that is handed over there is nothing of that name, so each import is there by its whole path too.
        imports = f'@imported.md\n@../outside.md\n@{self.path}/imported.md\n@{folder.file("outside.md")}\n'
        self.write('CLAUDE.md', f'WORDS-CLAUDE Use tabs.\n{imports}@link.md @/etc/hostname\n~~~~\n{imports}')
        self.write('.claude/CLAUDE.md', 'WORDS-DOT-CLAUDE\n')
        self.write('AGENTS.md', f'WORDS-AGENTS\n{imports}')
        self.write('imported.md', 'IMPORTED\n')
        self.write('../outside.md', 'OUTSIDE\n')
        os.symlink('../outside.md', self.file('link.md'))
        self.write('.claude/settings.json', json.dumps(self.settings()))
        self.write('.claude/settings.local.json', json.dumps({'hooks': {'SessionStart': self.hook('local')}, 'env': {'FROM_LOCAL': '1'}}))
        self.write('.mcp.json', json.dumps({'mcpServers': {'probe': {'command': '/bin/sh', 'args': ['-c', self.mark('mcp') + '; sleep 60']}}}))
        self.write('.claude/agents/does.md', '---\nname: does-agent\ndescription: DOES-AGENT\n---\nBody.\n')
        self.write('.claude/commands/does-command.md', '---\ndescription: DOES-COMMAND\n---\nBody.\n')
        self.write('.claude/skills/does/SKILL.md', '---\nname: does\ndescription: DOES-SKILL\n---\nBody.\n')
        self.write('.claude/output-styles/does.md', '---\nname: does\ndescription: x\n---\nDOES-STYLE\n')
        self.write('.claude/rules/does.md', 'DOES-RULE\n')
        self.write('.claude/hooks/hooks.json', json.dumps({'hooks': {'SessionStart': self.hook('other')}}))
        self.write('.claude-plugin/plugin.json', json.dumps({'name': 'p', 'hooks': {'SessionStart': self.hook('plugin')}}))
        # Files that the program's own runtime, or a shell, would read.
        self.write('.env', f'ANTHROPIC_BASE_URL=http://127.0.0.1:9\nFROM_DOTENV=1\nBASH_ENV={self.file("rc.sh")}\n')
        self.write('rc.sh', self.mark('shell-rc') + '\n')
        self.write('bunfig.toml', 'preload = ["./preload.js"]\n')
        self.write('preload.js', f'require("fs").writeFileSync({json.dumps(os.path.join(self.marks, "preload"))}, "")\n')
        # Not the repository's, but what a directory of another's making may have; git runs it.
        self.write('.git/HEAD', 'ref: refs/heads/main\n')
        self.write('.git/config', f'[core]\n\trepositoryformatversion = 0\n\tfsmonitor = "touch {self.marks}/fsmonitor; false"\n')
        for name in ('objects', 'refs'):
            os.mkdir(self.file('.git/' + name))
        self.write('../.claude/settings.json', json.dumps({'env': {'FROM_USER': '1'}}))
        folder.give_away()

    def file(self, name):
        return os.path.join(self.path, name)

    def write(self, name, text):
        path = os.path.normpath(self.file(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)

    def read(self, name):
        with open(self.file(name), encoding='utf-8') as file:
            return file.read()

    def mark(self, name):
        return f'env > {self.marks}/{name}'

    def hook(self, name):
        return [{'hooks': [{'type': 'command', 'command': self.mark(name)}]}]

    def settings(self):
        return {'hooks': {name: self.hook(name) for name in HOOKS}, 'env': {'FROM_PROJECT': '1'},
                'permissions': {'allow': ['Bash(touch *)'], 'defaultMode': 'acceptEdits'},
                'apiKeyHelper': self.mark('apiKeyHelper') + '; echo key', 'statusLine': {'type': 'command', 'command': self.mark('statusLine')},
                'enableAllProjectMcpServers': True, 'outputStyle': 'does', 'model': 'claude-haiku-4-5'}

    def left(self):
        return set(os.listdir(self.marks))

    def left_by(self, name):
        with open(os.path.join(self.marks, name), encoding='utf-8') as file:
            return file.read()


def requests(s, before):
    """What went to the model since then, as one text."""
    new = s.model.requests()[before:]
    check(new, 'there was no request')
    return '\n'.join(r['system'] + r['text'] for r in new), new


def begin(s, agent):
    """A first turn. The first message holds what the repository says, in one block with itself in 2.1.197."""
    agent.user('hello')
    agent.event('turn_end', ok=True)


def next_of(agent):
    """What comes next of a question and the end of the turn."""
    def matches(item):
        return item.get('method') == 'permission.request' or item.get('event', {}).get('type') == 'turn_end'
    item = agent.until('a question or the end of the turn', matches)
    return item if 'event' not in item else 'turn_end'


def question(agent):
    asked = next_of(agent)
    check(asked != 'turn_end', 'the tool ran without a question')
    return asked


def untrusted(s, folder_type):
    with folder_type() as folder:
        repository = Repository(folder)
        before = len(s.model.requests())
        with s.agent(folder, cwd=repository.path, sessionId=(session := new_id())) as agent:
            begin(s, agent)
            check(agent.events('started')[0]['mode'] == 'default', 'the repository has set the mode')
            agent.user('MOCK:bash touch t.txt && env > seen.txt')
            agent.answer(question(agent), behavior='allow')  # it is asked, rule and mode notwithstanding
            agent.event('turn_end', ok=True)
            agent.command('end')
            agent.finish()
        seen = repository.read('seen.txt')
        for name in ('FROM_PROJECT', 'FROM_LOCAL', 'FROM_DOTENV', 'BASH_ENV'):
            check(name not in seen, f'{name} of the repository is in the environment')
        check('FROM_USER=1' in seen, "the user's own settings do not count any more")
        check(not repository.left(), f'of the repository ran: {repository.left()}')
        text, new = requests(s, before)
        for word in SAID:
            check(word in text, f'{word} has not reached the agent')
        check('The repository says (CLAUDE.md)' in text and 'The repository says (AGENTS.md)' in text, 'the words are not marked')
        for word in (*DONE, 'IMPORTED', 'OUTSIDE'):
            check(word not in text, f'{word} has reached the agent')
        check(not [r for r in new if 'haiku' in r['model']], 'the repository has chosen the model')
        check(not [t for r in new for t in r['tools'] if 'probe' in t], "the repository's server is there")
        # The session goes on with what the repository says then.
        repository.write('AGENTS.md', 'WORDS-LATER\n')
        before = len(s.model.requests())
        with s.agent(folder, cwd=repository.path, resumeSessionId=session) as agent:
            begin(s, agent)
            agent.command('end')
            agent.finish()
        check('WORDS-LATER' in requests(s, before)[0], 'a resumed session has not read the words')
        check(not repository.left(), f'of the repository ran in a resumed session: {repository.left()}')


def trusted(s, folder_type):
    with folder_type() as folder:
        repository = Repository(folder)
        before = len(s.model.requests())
        with s.agent(folder, cwd=repository.path, trustedRepository='git.example.org') as agent:
            begin(s, agent)
            check(agent.events('started')[0]['mode'] == 'acceptEdits', 'the mode is not the one of the repository')
            agent.user('MOCK:bash touch t.txt')  # in this mode: not asked
            agent.event('turn_end', ok=True)
            agent.command('end')
            agent.finish()
        check(os.path.exists(repository.file('t.txt')), 'the command did not run')
        for name in MARKS:
            check(name in repository.left(), f'{name} has left no mark: {repository.left()}')
        for name in NEVER:
            check(name not in repository.left(), f'{name} of the repository ran')
        for name in ('FROM_PROJECT=1', 'FROM_USER=1', 'ANTHROPIC_API_KEY=test'):
            check(name in repository.left_by('SessionStart'), f'{name} is missing in a hook')
        text, new = requests(s, before)
        for word in (*SAID, *DONE, 'IMPORTED'):
            check(word in text, f'{word} has not reached the agent')
        check([r for r in new if 'haiku' in r['model']], 'the model is not the one of the repository')


def always(s, folder_type):
    """A person's "always" holds for the session and is not written into the checkout."""
    with folder_type() as folder:
        repository = Repository(folder)
        os.unlink(repository.file('.claude/settings.local.json'))
        before = repository.read('.claude/settings.json')
        with s.agent(folder, cwd=repository.path) as agent:
            begin(s, agent)
            agent.user('MOCK:bash touch t.txt')
            asked = question(agent)
            rules = [u for u in asked['suggestions'] if u['type'] == 'addRules']
            check(rules and rules[0]['destination'] == 'localSettings', f'{asked["suggestions"]}')
            agent.answer(asked, behavior='allow', updatedPermissions=rules)
            agent.event('turn_end', ok=True)
            agent.user('MOCK:bash touch t.txt')
            check(next_of(agent) == 'turn_end', 'the same was asked again')
            agent.command('end')
            agent.finish()
        check(not os.path.exists(repository.file('.claude/settings.local.json')), 'the rule was written into the checkout')
        check(repository.read('.claude/settings.json') == before, "the repository's settings were written")


def scheduled(s, folder_type):
    """A prompt whose time has come is said as if the user had said it, in a turn of its own."""
    for trusted_by in ({}, {'trustedRepository': 'git.example.org'}):
        with folder_type() as folder:
            repository = Repository(folder)
            os.unlink(repository.file('.claude/settings.json'))
            repository.write('.claude/scheduled_tasks.json', json.dumps({'tasks': [
                {'id': 'aaaaaaa1', 'cron': '* * * * *', 'prompt': 'DOES-CRON', 'createdAt': int(time.time() - 300) * 1000,
                 'recurring': True}]}))
            folder.give_away()
            before = len(s.model.requests())
            with s.agent(folder, cwd=repository.path, **trusted_by) as agent:
                for _ in range(2):
                    begin(s, agent)
                if trusted_by:
                    agent.until('the scheduled prompt', lambda _: 'DOES-CRON' in requests(s, before)[0])
                # Who looks at the schedule has the lock.
                locked = os.path.exists(repository.file('.claude/scheduled_tasks.lock'))
                check(locked == bool(trusted_by), f'with {trusted_by}: the schedule is {"" if locked else "not "}looked at')
                agent.command('end')
                agent.finish(None)
            check(('DOES-CRON' in requests(s, before)[0]) == bool(trusted_by), f'with {trusted_by}: the scheduled prompt was said, or not')


def largest(s, folder_type):
    """As much as is handed over reaches the model, to its last line; of more, the beginning, and a line that says so."""
    line = '0123456789abcdef' * 4 + '\n'
    with folder_type() as folder:
        repository = Repository(folder)
        for size, cut in ((256 * 1024, False), (256 * 1024 + 1, True)):
            text = (line * (size // len(line) + 1))[:size - 10] + ' LAST-WORD'
            repository.write('CLAUDE.md', text)
            for name in ('.claude/CLAUDE.md', 'AGENTS.md'):
                repository.write(name, '')
            before = len(s.model.requests())
            with s.agent(folder, cwd=repository.path) as agent:
                begin(s, agent)
                agent.command('end')
                agent.finish()
            said = requests(s, before)[0]
            check(('LAST-WORD' in said) != cut, f'of {size} bytes: the last line is {"there" if cut else "missing"}')
            check(('was cut off' in said) == cut, f'of {size} bytes: cut is {"not " if cut else ""}said')


SCENARIOS = {
    'a repository that is not trusted says what it says and does nothing': untrusted,
    'a trusted repository does what its settings say': trusted,
    'a rule for a repository that is not trusted holds for the session': always,
    'a prompt that a repository has scheduled is said where it is trusted': scheduled,
    'of what a repository says 256 KiB reach the model': largest,
}
