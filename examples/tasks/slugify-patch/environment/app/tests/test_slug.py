import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from textkit.slug import slugify  # noqa: E402


class SlugifyTest(unittest.TestCase):
    def test_words_are_joined_by_hyphens(self):
        self.assertEqual(slugify("Release notes, part 2"), "release-notes-part-2")

    def test_nothing_is_left_of_punctuation(self):
        self.assertEqual(slugify("?!"), "")


if __name__ == "__main__":
    unittest.main()
