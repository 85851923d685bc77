import unittest

from guestbook import Guestbook


class GuestbookTest(unittest.TestCase):
    def test_newest_first(self):
        book = Guestbook()
        book.sign("ada", "first")
        book.sign("grace", "second")
        self.assertEqual(book.entries[0], ("grace", "second"))

    def test_keeps_its_limit(self):
        book = Guestbook(limit=2)
        for i in range(5):
            book.sign("ada", f"entry {i}")
        self.assertEqual(len(book.entries), 2)

    def test_refuses_an_empty_entry(self):
        with self.assertRaises(ValueError):
            Guestbook().sign("ada", "  ")

    def test_markup_is_shown_and_not_interpreted(self):
        book = Guestbook()
        book.sign("eve", "<script>alert(1)</script>")
        self.assertNotIn("<script>", book.page())


if __name__ == "__main__":
    unittest.main()
