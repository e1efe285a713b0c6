#!/usr/bin/env python3
"""Records a session of `tl` in a terminal and draws it as session.svg, the picture of the README.

    cargo build --release
    python3 docs/pictures/session.py target/release/tl

The script types the lines of SESSION into a pseudo-terminal, lets the program answer, and draws the screen that is left. Nothing in the
picture is written by hand: it is what the program printed. It needs Python and its standard library, on Linux or macOS.
"""

import html
import os
import pty
import select
import struct
import fcntl
import sys
import termios
import time
import unicodedata

COLUMNS = 100
# Each command with the lines that are typed into it.
SESSION = [
    (["chat", "--temperature", "0"], ["Hello", "What is attention?", "My name is Ada.", "What is my name?", "/exit"]),
    (["repl"], ["let scores = [[1, 2, 3], [3, 2, 1]]", "softmax(scores, dim: 1)", "sum(softmax(scores, dim: 1), dim: 1)", "\x04"]),
]
# What the line editor sends when it starts to read a line, as the sequence's words and its kind.
READS = ("?2004", "h")
# Seconds after which something is wrong.
LONGEST = 120


class Screen:
    """The part of a terminal that line editors and `tl` use: text, colours, the cursor's moves and erasing."""

    def __init__(self):
        self.rows = [[]]
        self.row = self.column = 0
        self.style = ""
        self.rest = b""
        # How often a line editor has begun to read.
        self.reads = 0

    def feed(self, data):
        text = (self.rest + data).decode("utf-8", "surrogateescape")
        self.rest = b""
        i = 0
        while i < len(text):
            c = text[i]
            if c == "\x1b":
                end = self.sequence(text, i)
                if end is None:
                    self.rest = text[i:].encode("utf-8", "surrogateescape")
                    return
                i = end
                continue
            if c == "\r":
                self.column = 0
            elif c == "\n":
                self.row += 1
                self.grow()
            elif c == "\b":
                self.column = max(0, self.column - 1)
            elif c >= " ":
                self.put(c)
            i += 1

    def sequence(self, text, start):
        """Carries out the control sequence at `start`, and returns where it ends; None when it is not whole yet."""
        if start + 1 >= len(text):
            return None
        if text[start + 1] != "[":
            return start + 2
        end = start + 2
        while end < len(text) and not "@" <= text[end] <= "~":
            end += 1
        if end == len(text):
            return None
        words, kind = text[start + 2 : end], text[end]
        number = int(words) if words.isdigit() else None
        if (words, kind) == READS:
            self.reads += 1
        elif kind == "m":
            self.style = "" if words in ("", "0") else words
        elif kind == "K":
            row = self.rows[self.row]
            del row[self.column if not number else 0 :]
        elif kind == "J":
            del self.rows[self.row][self.column :]
            del self.rows[self.row + 1 :]
        elif kind == "A":
            self.row = max(0, self.row - (number or 1))
        elif kind == "B":
            self.row += number or 1
            self.grow()
        elif kind == "C":
            self.column += number or 1
        elif kind == "D":
            self.column = max(0, self.column - (number or 1))
        elif kind == "G":
            self.column = (number or 1) - 1
        return end + 1

    def grow(self):
        while len(self.rows) <= self.row:
            self.rows.append([])

    def put(self, c):
        width = 2 if unicodedata.east_asian_width(c) in "WF" else 1
        if self.column + width > COLUMNS:
            self.row, self.column = self.row + 1, 0
            self.grow()
        row = self.rows[self.row]
        while len(row) <= self.column:
            row.append((" ", ""))
        row[self.column] = (c, self.style)
        self.column += width


def read_until(terminal, screen, reads):
    """Feeds the screen until a line is read for the `reads`-th time, or the program has ended."""
    deadline = time.monotonic() + LONGEST
    while screen.reads < reads:
        if time.monotonic() > deadline:
            sys.exit("the program does not ask for a line")
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                data = os.read(terminal, 65536)
            except OSError:
                return
            if not data:
                return
            screen.feed(data)


def read_now(terminal, screen):
    """Feeds the screen what is there already."""
    while select.select([terminal], [], [], 0)[0]:
        screen.feed(os.read(terminal, 65536))


def record(tl, args, lines, screen):
    """Runs a command in a terminal of its own, types its lines, and waits for its end."""
    screen.feed(f"\x1b[1m$ tl {' '.join(args)}\x1b[0m\r\n".encode())
    # Nothing of this session is kept, and no colour or size of the caller's terminal shows.
    env = dict(os.environ, TERM="xterm-256color", TL_HISTORY="", COLUMNS=str(COLUMNS))
    env.pop("NO_COLOR", None)
    child, terminal = pty.fork()
    if child == 0:
        os.execve(tl, [tl, *args], env)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    for line in lines:
        read_until(terminal, screen, screen.reads + 1)
        # The prompt follows the sequence.
        time.sleep(0.3)
        read_now(terminal, screen)
        os.write(terminal, line.encode() + (b"" if line == "\x04" else b"\r"))
    read_until(terminal, screen, screen.reads + 1)
    os.close(terminal)
    os.waitpid(child, 0)
    if screen.rows[-1]:
        screen.feed(b"\r\n")


def spans(row):
    """The runs of one style in a row, each with its first column."""
    found = []
    for column, (c, style) in enumerate(row):
        if found and found[-1][2] == style:
            found[-1][1] += c
        else:
            found.append([column, c, style])
    return [span for span in found if span[1].strip()]


def fill(style, typed):
    """The colour of a run: what was typed stands out, dimmed text steps back."""
    if typed or "1" in style.split(";"):
        return "#7ee787"
    return "#8b949e" if "2" in style.split(";") else "#e6edf3"


def svg(rows):
    advance, line, left, top = 8.4, 20, 20, 56
    width, height = int(2 * left + COLUMNS * advance), top + len(rows) * line + 8
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"'
        ' aria-label="A session of tl chat and of tl repl">',
        f'<rect width="{width}" height="{height}" rx="10" fill="#0d1117"/>',
        '<circle cx="24" cy="22" r="6" fill="#ff5f57"/><circle cx="44" cy="22" r="6" fill="#febc2e"/>'
        '<circle cx="64" cy="22" r="6" fill="#28c840"/>',
        '<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="14" xml:space="preserve">',
    ]
    for number, row in enumerate(rows):
        typed = "".join(c for c, _ in row).startswith("> ")
        for column, text, style in spans(row):
            x, y = left + column * advance, top + number * line
            # The length keeps columns in place whatever font is there.
            size = f'textLength="{len(text.rstrip()) * advance:.1f}" lengthAdjust="spacingAndGlyphs"'
            out.append(f'<text x="{x:.1f}" y="{y}" fill="{fill(style, typed)}" {size}>{html.escape(text.rstrip())}</text>')
    return "\n".join([*out, "</g>", "</svg>", ""])


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    screen = Screen()
    for args, lines in SESSION:
        record(os.path.abspath(sys.argv[1]), args, lines, screen)
    rows = [row for row in screen.rows]
    while rows and not rows[-1]:
        rows.pop()
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "session.svg")
    with open(path, "w", encoding="utf-8") as file:
        file.write(svg(rows))
    print("\n".join("".join(c for c, _ in row) for row in rows))
    print(f"wrote {path}", file=sys.stderr)


main()
