"""What the guestbook knows, without HTTP."""


class Guestbook:
    """Keeps the newest entries, at most `limit` of them."""

    def __init__(self, limit: int = 100):
        self.limit = limit
        self.entries = []

    def sign(self, name: str, text: str) -> None:
        if not text.strip():
            raise ValueError("an entry needs a text")
        self.entries.insert(0, (name.strip() or "anonymous", text.strip()))
        del self.entries[self.limit:]

    def page(self) -> str:
        lines = "".join(f"<li><b>{name}</b>: {text}</li>" for name, text in self.entries)
        return f"<!doctype html><title>Guestbook</title><h1>Guestbook</h1><ul>{lines}</ul>"
