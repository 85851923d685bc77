"""The notification socket with Socket.IO's own client and with the SDK that waits on it."""


def test_typescript(programs):
    programs.node("notify")
