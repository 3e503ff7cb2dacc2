"""Invalid addresses of models, and those that nobody may reach through the server."""

from faults.cases import Case
from faults.inputs.asking import changed

NONE = (
    "file:///etc/passwd",
    "ftp://somewhere/x.pth",
    "versatile",
    "",
    "http://",
    "http://[::1",
    "http://a b/x",
    "http://x" * 500,
)

CASES: list[Case] = [
    *[changed("seg/reset", {"url": url}, "url", is_short=url.startswith("file")) for url in NONE],
    changed("flow/reset", {"url": "file:///etc/passwd"}, "http"),
    changed("flow/reset", {"url": "http://exa\nmple/\x00"}, "http"),
]
