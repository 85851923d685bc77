"""Listens on 127.0.0.1:3001 and [::1]:3002, for the list of ports."""
import socket
import time

listening = [socket.create_server(("127.0.0.1", 3001)), socket.create_server(("::1", 3002), family=socket.AF_INET6)]
time.sleep(1000)
