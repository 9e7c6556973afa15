"""A process's last line on stderr is kept, in bounded memory that the process cannot outgrow or wait for."""

import subprocess
import sys

from pipeline.label.last_words import LastWords


def speak(words: LastWords, program: str) -> int:
    return subprocess.run([sys.executable, "-c", program], stderr=words.descriptor, timeout=60).returncode


def test_the_last_line_is_kept_until_it_is_forgotten() -> None:
    words = LastWords()
    assert words.last_line() is None
    assert speak(words, "1 / 0") == 1
    assert words.last_line() == "ZeroDivisionError: division by zero"
    words.clear()
    assert words.last_line() is None
    speak(words, "import sys; sys.stderr.write('b\\n\\n')")
    assert words.last_line() == "b"
    words.close()


def test_more_than_it_holds_blocks_nothing() -> None:
    words = LastWords()
    assert speak(words, "import ctypes; ctypes.CDLL(None).write(2, b'x' * 10**6, 10**6)") == 0
    assert words.last_line() == "x" * 300
    words.close()
