"""Runs moto's server so that it answers one request at a time.

S3 decides between creators that race for a name (`If-None-Match: *`). Moto looks and then writes,
and two of its threads can both find nothing there; so nothing else runs while it answers.
"""

import io
import sys
import threading

from moto.server import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
    run_simple,
)


class OneAtATime:
    """A WSGI application whose requests wait for each other once they have arrived in full."""

    def __init__(self, application):
        self.application = application
        self.turn = threading.Lock()

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"]
        # Chunks have an end; otherwise the connection goes on after the body.
        chunked = environ.get("wsgi.input_terminated")
        size = -1 if chunked else int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(body.read(size))
        with self.turn:
            return list(self.application(environ, start_response))


if __name__ == "__main__":
    moto = DomainDispatcherApplication(create_backend_app)
    run_simple(
        "127.0.0.1",
        int(sys.argv[1]),
        OneAtATime(moto),
        threaded=True,
        request_handler=MotoRequestHandler,
    )
