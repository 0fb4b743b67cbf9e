"""`reconet web`: a page for people, an interface for programs. A process of its own; it reads the daemon's status and
the styles' folder, and asks the daemon for everything else (wire.py).
"""
