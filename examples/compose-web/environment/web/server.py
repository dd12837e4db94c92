"""A small stock service: pages of items as JSON; every third request is answered 503."""

import itertools
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

PAGES = (
    (("bolt", 40), ("nut", 25), ("washer", 110)),
    (("nut", 15), ("bolt", 2), ("screw", 64)),
    (("washer", 1), ("screw", 6)),
    (("anchor", 12),),
)
requests = itertools.count(1)


class StockHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        with open("requests.log", "a") as log:
            log.write(f"{self.path}\n")
        address = urlsplit(self.path)
        page = parse_qs(address.query).get("page", ["1"])[0]
        if address.path != "/items" or not page.isdecimal() or not 1 <= int(page) <= len(PAGES):
            self.answer(404, {"error": "no such page"})
        elif next(requests) % 3 == 0:
            self.answer(503, {"error": "busy, ask again"})
        else:
            number = int(page)
            items = [{"name": name, "quantity": quantity} for name, quantity in PAGES[number - 1]]
            self.answer(200, {"items": items, "next": number + 1 if number < len(PAGES) else None})

    def answer(self, status: int, document: dict) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


HTTPServer(("", 8000), StockHandler).serve_forever()
