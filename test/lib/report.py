"""Counting what passed and failed. Every suite ends with the line `N passed, N failed`."""

import os
import sys
import time
import traceback


class Failure(Exception):
    """A check did not hold; its text is all a reader needs."""


class Skip(Exception):
    """The machine can't run this test; its text says what is missing."""


def check(condition, text, *args):
    if not condition:
        raise Failure(text % args if args else text)


def check_equal(got, want, what):
    if got != want:
        raise Failure("%s: got %s, want %s" % (what, short(got), short(want)))


def short(value, limit=300):
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "... (%d characters)" % len(text)


class Suite:
    def __init__(self, name, only=None):
        self.name = name
        self.only = only or os.environ.get("ONLY")
        self.passed = 0
        self.failed = 0
        self.skipped = 0
        self.started = time.monotonic()

    def test(self, name, function, *args):
        """Runs one test; never raises for its failure."""
        if self.only and self.only not in name:
            return
        begin = time.monotonic()
        try:
            function(*args)
        except Skip as skip:
            self.skipped += 1
            self._line("skip", name, begin, str(skip))
        except Failure as failure:
            self.failed += 1
            self._line("FAIL", name, begin, str(failure))
        except Exception as error:  # a crashed test is a failed test
            self.failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            trace = "".join(traceback.format_exception(error)[-4:])
            self._line("FAIL", name, begin, "%s: %s (%s:%d)\n%s" % (
                type(error).__name__, error, os.path.basename(where.filename), where.lineno, trace))
        else:
            self.passed += 1
            self._line("ok", name, begin, "")

    def expect_failure(self, name, function, *args):
        """For --selftest: the check given must fail, else the checker is blind."""

        def inverted():
            try:
                function(*args)
            except Failure as failure:
                print("     caught: %s" % str(failure).splitlines()[0][:160])
                return
            raise Failure("a planted failure was not noticed")

        self.test(name, inverted)

    def _line(self, verdict, name, begin, text):
        print("%-4s %s (%.1f s)" % (verdict, name, time.monotonic() - begin))
        for line in text.splitlines():
            print("     " + line)
        sys.stdout.flush()

    def finish(self):
        if self.skipped:
            print("%d skipped, see above" % self.skipped)
        if self.passed + self.failed + self.skipped == 0:
            print("no test was run")
            self.failed = 1
        print("%s: %.1f s" % (self.name, time.monotonic() - self.started))
        print("%d passed, %d failed" % (self.passed, self.failed))
        sys.stdout.flush()
        sys.exit(1 if self.failed else 0)
