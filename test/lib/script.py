"""The command scripts of the differential test: test/diff/*.txt, parsed into steps.

One command a line, quoted as redis-cli quotes ("\\x00\\r\\n", 'single'). `#` begins a comment line.
`{a|b|}` in a line stands for each of its alternatives; several give every combination.
`<x*1000>` as a word of its own stands for x repeated 1000 times. `$name` is what @capture kept.

A line may begin with directives:
    @c2 COMMAND          on connection 2 (1 is the default)
    @near N COMMAND      integer replies may differ by up to N
    @shape COMMAND       only the type of the reply is compared
    @unordered COMMAND   the elements of the reply are compared as a set
    @capture x COMMAND   keeps the (parsed) reply as $x, apart for each server
    @none COMMAND        sends, reads no reply
    @send "bytes"        sends bytes as they are, reads no reply
    @read N | @read eof  reads N replies, or all until the server closes
    @close               closes the connection; its next use opens a new one
    @sleep MS            waits
    @before COMMAND      runs COMMAND before each following command (alone: forget all)
    @after COMMAND       runs COMMAND after each following command (alone: forget all)
    @protocols 2 3       the protocols this script is run with (default: both)
    @random PROFILE N    N commands of a generator, from SEED
    = "bytes"            the expected reply of the line above (scripts without Redis), raw
    =~ regex             the same, as a regular expression over the raw bytes
"""

import itertools
import re

ALTERNATION = re.compile(r"\{([^{}]*\|[^{}]*)\}")
REPEAT = re.compile(r"^<(.+)\*(\d+)>$", re.S)
ESCAPES = {"n": 10, "r": 13, "t": 9, "b": 8, "a": 7}


class ScriptError(Exception):
    pass


class Step:
    """One thing to do: `kind` is command, send, read, close, sleep or random."""

    def __init__(self, kind, line, text, connection=1):
        self.kind = kind
        self.line = line
        self.text = text
        self.connection = connection
        self.args = []
        self.compare = None  # the normaliser asked for, and its argument
        self.compare_arg = None
        self.capture = None
        self.no_reply = False
        self.data = b""
        self.number = 0
        self.profile = None
        self.expected = None
        self.expected_regex = None


class Script:
    def __init__(self, name):
        self.name = name
        self.protocols = [2, 3]
        self.steps = []


def split_words(text):
    """redis-cli's (and inline commands') quoting; returns a list of bytes."""
    words = []
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            return words
        word = bytearray()
        while at < len(text) and not text[at].isspace():
            if text[at] in "\"'":
                at = _quoted(text, at, word)
                if at < len(text) and not text[at].isspace():
                    raise ScriptError("no space behind a closing quote: %s" % text)
            else:
                word += text[at].encode()
                at += 1
        words.append(bytes(word))


def _quoted(text, at, word):
    quote = text[at]
    at += 1
    while at < len(text):
        char = text[at]
        following = text[at + 1 : at + 2]
        if char == quote:
            return at + 1
        if char == "\\" and quote == "'" and following == "'":
            word += b"'"
            at += 2
        elif char == "\\" and quote == '"':
            if following == "x":
                word.append(int(text[at + 2 : at + 4], 16))
                at += 4
            else:
                word += bytes([ESCAPES[following]]) if following in ESCAPES else following.encode()
                at += 2
        else:
            word += char.encode()
            at += 1
    raise ScriptError("unbalanced quotes: %s" % text)


def expand(text):
    """All lines that the alternations of a line stand for."""
    parts = ALTERNATION.split(text)
    choices = [[part] if index % 2 == 0 else part.split("|") for index, part in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*choices)]


def words_of(text):
    words = []
    for word in split_words(text):
        repeat = REPEAT.match(word.decode("latin-1"))
        if repeat:
            word = repeat.group(1).encode("latin-1") * int(repeat.group(2))
        words.append(word)
    return words


class _Parser:
    def __init__(self, name, text):
        self.script = Script(name)
        self.before = []
        self.after = []
        for number, line in enumerate(text.split("\n"), 1):
            line = line.strip()
            if line and not line.startswith("#"):
                try:
                    self.line(number, line)
                except (ScriptError, ValueError, IndexError) as error:
                    raise ScriptError("%s:%d: %s (%s)" % (name, number, line, error))

    def line(self, number, line):
        steps = self.script.steps
        if line.startswith("=~ "):
            steps[-1].expected_regex = line[3:].encode("latin-1")
        elif line.startswith("= "):
            steps[-1].expected = split_words(line[2:])[0]
        elif line.startswith("@protocols "):
            self.script.protocols = [int(word) for word in line.split()[1:]]
        elif line.split()[0] in ("@before", "@after"):
            hooks = self.before if line.startswith("@before") else self.after
            rest = line.split(None, 1)[1:]
            if rest:
                hooks.append((number, rest[0]))
            else:
                hooks.clear()
        elif line.startswith("@random "):
            step = Step("random", number, line)
            _, step.profile, count = line.split()
            step.number = int(count)
            steps.append(step)
        else:
            hooks = [[(number, text) for text in expand(text)] for number, text in self.before]
            for before in itertools.product(*hooks):
                for text in expand(line):
                    steps += [self.step(*hook) for hook in before]
                    steps.append(self.step(number, text))
                    steps += [self.step(*hook) for hook in self.after]

    def step(self, number, text):
        step = Step("command", number, text)
        rest = text
        while rest.startswith("@"):
            directive, _, rest = rest.partition(" ")
            rest = rest.strip()
            if re.match(r"^@c\d+$", directive):
                step.connection = int(directive[2:])
            elif directive == "@near":
                amount, _, rest = rest.partition(" ")
                step.compare, step.compare_arg = "near", int(amount)
            elif directive in ("@shape", "@unordered"):
                step.compare = directive[1:]
            elif directive == "@capture":
                step.capture, _, rest = rest.partition(" ")
            elif directive == "@none":
                step.no_reply = True
            elif directive == "@send":
                step.kind = "send"
                step.data = b"".join(words_of(rest))
                return step
            elif directive == "@read":
                step.kind = "read"
                step.number = -1 if rest == "eof" else int(rest)
                return step
            elif directive == "@close":
                step.kind = "close"
                return step
            elif directive == "@sleep":
                step.kind = "sleep"
                step.number = int(rest)
                return step
            else:
                raise ScriptError("unknown directive " + directive)
        step.args = words_of(rest)
        if not step.args:
            raise ScriptError("no command")
        return step


def parse_script(name, text):
    return _Parser(name, text).script
